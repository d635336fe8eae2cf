"""A lag that grows and falls back, as when actors receive new weights periodically."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lagbench.lag.base import LagMode


class Sawtooth(LagMode):
    """All actors hold the newest version of every ``period``-th phase: the lag is 0, 1, …, period − 1, and 0 again."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """``period``: phases between weight updates."""

        period: int = 4

    def versions(self, phase: int) -> NDArray[np.int64]:
        """The version of the last weight update, for every actor."""
        return np.full(self.protocol.actors, phase - phase % self.config.period, dtype=np.int64)
