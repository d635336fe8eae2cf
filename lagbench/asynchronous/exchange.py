"""The exchange of actors and learner: the newest policy version, and a bounded queue of segments."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Segment:
    """What an actor process made in one go: the part of a phase's data that its actors have in it.

    Attributes:
        number: the phase in which it is taken.
        version: of the policy that acted.
        content: what the actors made and their state after it, as bytes.
        seconds: what it took to act, to wait for a place for the segment before, and to fetch the weights, by name.
    """

    number: int
    version: int
    content: bytes
    seconds: dict[str, float]


@dataclass(frozen=True)
class Taken:
    """A segment, and the seconds that it was in the queue."""

    segment: Segment
    queued: float


class Exchange:
    """A queue for each process, of so many segments. Ray runs one of it, whose methods may wait for one another.

    The learner takes one segment of each process, so that each of the run's actors has its place in every phase. A
    process that died is replaced by another life of it; what the earlier one still hands in is not taken.
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
        """The learner has made a version; ``weights`` are a reference to it, in a list: nobody is to fetch it yet."""
        async with self._changed:
            self._newest = (number, weights)
            self._changed.notify_all()

    async def newest(self) -> Any:
        """Number and reference of the newest version, once there is one."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._newest is not None)
            return self._newest

    async def put(self, process: int, life: int, segment: Segment) -> bool:
        """Hand in a segment, once there is a place for it. False where another life of the process has replaced it."""
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
        """The first segment of each process, in their order, once each has one."""
        async with self._changed:
            await self._changed.wait_for(lambda: all(self._queues))
            taken = [queue.popleft() for queue in self._queues]
            self._changed.notify_all()
        now = time.monotonic()
        return [Taken(segment, now - since) for segment, since in taken]

    async def revive(self, process: int) -> tuple[int, int, bytes | None]:
        """Begin another life of a process: its number, the segment it is to make, and the content of the last one."""
        async with self._changed:
            self._lives[process] += 1
            self._changed.notify_all()
            return self._lives[process], self._following[process], self._last[process]
