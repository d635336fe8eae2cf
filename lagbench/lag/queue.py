"""Lag from a simulated asynchronous engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.lag import queueing
from lagbench.lag.base import LagMode
from lagbench.protocol import Protocol
from lagbench.seeding import Stream, generator


class Queue(LagMode):
    """The versions that a simulated engine consumes; ``queue:PRESET`` is a family of engines (docs/lag.md)."""

    Config = queueing.Options

    def __init__(self, protocol: Protocol, seed: int) -> None:
        super().__init__(protocol, seed)
        self._played = queueing.Played(self.config, protocol.actors, generator(seed, Stream.STALENESS))

    @classmethod
    def preset(cls, argument: str) -> dict[str, Any]:
        """See ``LagMode.preset``."""
        return queueing.preset(argument)

    def largest(self, phases: int) -> int:
        """See ``LagMode.largest``."""
        return int(max(np.max(phase - self.versions(phase)) for phase in range(phases)))

    def versions(self, phase: int) -> NDArray[np.int64]:
        """See ``LagMode.versions``."""
        return self._played(phase)

    def by_step(self, phase: int, steps: int) -> NDArray[np.int64]:
        """See ``LagMode.by_step``."""
        return self._played.by_step(phase, steps)
