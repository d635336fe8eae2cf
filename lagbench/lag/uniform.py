"""Lag as simulated in Align and Filter: each actor draws one of the versions in the buffer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lagbench.lag.base import LagMode
from lagbench.seeding import Stream, generator


class Uniform(LagMode):
    """Versions phase−L … phase with equal probability, drawn for each actor in every phase.

    Align and Filter, arXiv 2603.01365, figure 1 left: its buffer of K policies is L = K−1.
    """

    def versions(self, phase: int) -> NDArray[np.int64]:
        """See ``LagMode.versions``: in the first L phases, one of the versions that exist."""
        rng = generator(self.seed, Stream.STALENESS, phase)
        return rng.integers(max(0, phase - self.protocol.lag), phase, endpoint=True, size=self.protocol.actors)
