"""Deterministic lag: all actors have the same version."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lagbench.lag.base import LagMode


class Fixed(LagMode):
    """Version phase−L, or version 0 in the first L phases."""

    def versions(self, phase: int) -> NDArray[np.int64]:
        """See ``LagMode.versions``."""
        return np.full(self.protocol.actors, max(0, phase - self.protocol.lag), dtype=np.int64)
