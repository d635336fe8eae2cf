"""The lag mode of asynchronous runs, whose lag is measured, not simulated (docs/asynchrony.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from lagbench.config import Count
from lagbench.errors import UsageError
from lagbench.lag.base import LagMode


class Asynchronous(LagMode):
    """Each actor process takes the newest version when it begins a segment, so lag depends on actual speeds."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The number of processes, which share the actors evenly, and the queue's capacity in segments of each."""

        actor_processes: Count = 1
        queue: Count = 1

    def largest(self, phases: int) -> int:
        """See ``LagMode.largest``: a process holds one segment in addition to its segments in the queue."""
        actors, processes = self.protocol.actors, self.config.actor_processes
        if actors % processes:
            fitting = max(n for n in range(1, processes) if actors % n == 0)
            raise UsageError(
                f"{actors} actors cannot be divided evenly among {processes} processes; give --actor-processes "
                f"{fitting}"
            )
        return int(self.config.queue) + 1

    def versions(self, phase: int) -> NoReturn:
        """See ``LagMode.versions``: not known in advance."""
        raise UsageError(
            "the lag of an asynchronous run is known only afterwards; run it, then: lagbench lag trace:RUN"
        )
