"""The lag mode of asynchronous runs, whose lag is measured, not simulated (docs/asynchrony.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from lagbench.config import Count
from lagbench.errors import UsageError
from lagbench.lag.base import LagMode


class Asynchronous(LagMode):
    """Each actor process takes the newest version when it begins a segment; which that is, speeds decide."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Processes that share the actors evenly, and what the queue holds of each one's segments."""

        actor_processes: Count = 1
        queue: Count = 1

    def largest(self, phases: int) -> int:
        """See ``LagMode.largest``: a process holds one segment more than the queue does of its own."""
        actors, processes = self.protocol.actors, self.config.actor_processes
        if actors % processes:
            fitting = max(n for n in range(1, processes) if actors % n == 0)
            raise UsageError(
                f"{actors} actors cannot be divided evenly among {processes} processes; give --actor-processes "
                f"{fitting}"
            )
        return int(self.config.queue) + 1

    def versions(self, phase: int) -> NoReturn:
        """See ``LagMode.versions``: nothing says beforehand which they are."""
        raise UsageError(
            "the lag of an asynchronous run is known only afterwards; run it, then: lagbench lag trace:RUN"
        )
