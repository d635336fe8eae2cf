"""The exchange between actors and learner: the newest policy version, and bounded queues of segments."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Segment:
    """The data of one phase from the actors of one process.

    Attributes:
        number: the phase in which it is taken.
        version: the policy version that acted.
        content: the actors' data and their state after it, as bytes.
        seconds: times of acting, of waiting for space for the segment before, and of fetching weights, by name.
    """

    number: int
    version: int
    content: bytes
    seconds: dict[str, float]


@dataclass(frozen=True)
class Taken:
    """A segment and its seconds in the queue."""

    segment: Segment
    queued: float


class Exchange:
    """A queue of ``capacity`` segments for each process. One Ray actor, whose methods may wait for one another.

    The learner takes one segment of each process, so that every phase has data of all of the run's actors. A process
    that died is replaced by another ``life``; segments of earlier lives are refused.
    """

    def __init__(self, processes: int, capacity: int, first: int) -> None:
        self._capacity = capacity
        self._queues: list[deque[tuple[Segment, float]]] = [deque() for _ in range(processes)]
        self._following = [first] * processes
        self._lives = [0] * processes
        self._last: list[bytes | None] = [None] * processes
        self._newest: Any = None
        self._changed = asyncio.Condition()

    async def publish(self, number: int, weights: Any) -> None:
        """Publish a version; ``weights`` is a reference to it, in a list so that Ray does not fetch it."""
        async with self._changed:
            self._newest = (number, weights)
            self._changed.notify_all()

    async def newest(self) -> Any:
        """Wait for a version; returns the newest one's number and reference."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._newest is not None)
            return self._newest

    async def put(self, process: int, life: int, segment: Segment) -> bool:
        """Add a segment once there is space. False if another life of the process has replaced this one."""
        queue = self._queues[process]
        async with self._changed:
            await self._changed.wait_for(lambda: len(queue) < self._capacity or self._lives[process] != life)
            if self._lives[process] != life or segment.number != self._following[process]:
                return False
            queue.append((segment, time.monotonic()))
            self._following[process] += 1
            self._last[process] = segment.content
            self._changed.notify_all()
            return True

    async def take(self) -> Sequence[Taken]:
        """Wait until each process has a segment; returns the first of each, in order."""
        async with self._changed:
            await self._changed.wait_for(lambda: all(self._queues))
            taken = [queue.popleft() for queue in self._queues]
            self._changed.notify_all()
        now = time.monotonic()
        return [Taken(segment, now - since) for segment, since in taken]

    async def revive(self, process: int) -> tuple[int, int, bytes | None]:
        """Begin another life of a process; returns its number, its next segment, and the last segment's content."""
        async with self._changed:
            self._lives[process] += 1
            self._changed.notify_all()
            return self._lives[process], self._following[process], self._last[process]
