"""Discrete-event simulation of an asynchronous engine: generators, a queue and a learner.

Each generator takes the newest policy version, works on a segment for some time, and appends it to the queue. Whenever
it is idle, the learner takes a batch from the front of the queue, updates for some time, and publishes the next
version. Engines differ in the queue's capacity and in who may begin a segment. Nothing is trained.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lagbench.config import INT32, Count, Range
from lagbench.errors import UsageError, unknown
from lagbench.lag.base import LagMode

Times = Literal["constant", "lognormal", "length"]
Take = Literal["first", "each"]
Admission = Literal["none", "bounded", "drop"]
_LEARNER, _GENERATOR = 0, 1  # at equal times the learner's event comes first: it publishes a version


@dataclass(frozen=True, kw_only=True)
class Options(LagMode.Config):
    """The options of an ``Engine`` in units that are independent of the number of actors, and of its segments' times.

    Attributes:
        batch: segments per batch; None: one per actor.
        generators: number of generators, in batches.
        capacity: capacity of the queue, in batches.
        learner: the time of a phase's updates, in units of the mean time of a segment.
        times: see ``durations``.
        sigma: see ``durations``.
        longest: see ``durations``.
        take: see ``Engine``.
        admission: see ``Engine``.
        eta: see ``Engine``.
        inflight: whether a published version replaces that of unfinished segments; see ``Played.by_step``.
    """

    batch: Count | None = None
    generators: Annotated[float, Range(gt=0, le=1000)] = 1.0
    capacity: Annotated[float, Range(ge=0, le=1000)] = 0.0
    learner: Annotated[float, Range(ge=0, le=1000)] = 1.0
    times: Times = "constant"
    sigma: Annotated[float, Range(ge=0, le=10)] = 0.5
    longest: Annotated[float, Range(gt=0, le=1000)] = 4.0
    take: Take = "first"
    admission: Admission = "none"
    eta: Annotated[int, Range(ge=0, le=INT32)] = 4
    inflight: bool = False


_AREAL = {"generators": 4.0, "learner": 0.25, "times": "length", "admission": "bounded"}
# In units of batches and of the mean time of a segment; docs/lag.md gives the source of each number.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "cleanba": {"take": "each", "learner": 0.5},
        "impala": {"generators": 2.0, "capacity": 1.0, "learner": 0.6, "times": "lognormal", "sigma": 0.2},
        "areal-4": {**_AREAL, "capacity": 8.0, "eta": 4},
        "areal-8": {**_AREAL, "capacity": 16.0, "eta": 8},
    }
)


def preset(engine: str) -> dict[str, Any]:
    """The options of one of the ``PRESETS``. Raises UsageError for any other."""
    if engine not in PRESETS:
        raise unknown("engine", engine, PRESETS)
    return dict(PRESETS[engine])


class Segment(NamedTuple):
    """A generator's segment; ``version`` is the newest version when it began.

    ``published``: the versions published during the segment, each with the share of its time that had passed.
    """

    generator: int
    version: int
    published: Sequence[tuple[float, int]] = ()


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An asynchronous engine.

    Attributes:
        generators: number of generators, each working on one segment at a time.
        batch: segments that the learner takes at once.
        capacity: segments in the queue; a generator with a finished segment waits until the queue has space.
        learner: the time of the updates on a batch.
        take: the ``first`` segments of the queue from any generator, or the first of ``each`` generator.
        admission: who may begin a segment. ``bounded`` is AReaL's rule (arXiv 2505.24298): with version v published, at
            most (η + v + 1) batches have been begun in total. ``drop``: anyone, and segments more than η versions old
            when the learner takes a batch are discarded.
        eta: η.
    """

    generators: int
    batch: int
    capacity: int
    learner: float
    take: Take = "first"
    admission: Admission = "none"
    eta: int = 0

    def __post_init__(self) -> None:
        if self.take == "each" and self.generators != self.batch:
            raise UsageError(
                f"the learner cannot take one segment of each generator, {self.generators} of them, as a batch of "
                f"{self.batch}; give generators=1, or take=first"
            )
        if self.generators + self.capacity < self.batch:
            raise UsageError(
                f"a batch of {self.batch} segments is never complete, because {self.generators} generators hold one "
                f"each "
                f"and the queue {self.capacity}; give more generators, or a larger capacity"
            )

    def batches(self, duration: Callable[[], float]) -> Iterator[list[Segment]]:
        """Yield the batches that the learner takes, one per phase, endlessly.

        ``duration`` returns the time of the next segment to begin, above 0. Generators whose segments begin or end at
        the same time are ordered by number.
        """
        events: list[tuple[float, int, int]] = []
        line: list[Segment] = []
        working: dict[int, tuple[float, float]] = {}  # start and duration
        made = [Segment(number, 0) for number in range(self.generators)]
        free = set(range(self.generators))
        blocked: set[int] = set()
        begun = version = 0
        idle = True
        while True:
            now = events[0][0] if events else 0.0
            while events and events[0][0] == now:
                _, kind, number = heapq.heappop(events)
                if kind == _LEARNER:
                    version, idle = version + 1, True
                    for other, (since, time) in working.items():
                        share = (now - since) / time
                        made[other] = made[other]._replace(published=(*made[other].published, (share, version)))
                else:
                    del working[number]
                    line.append(made[number])
                    (blocked if len(line) > self.capacity else free).add(number)
            if idle and (taken := self._take(line, version)):
                heapq.heappush(events, (now + self.learner, _LEARNER, 0))
                idle = False
                yield taken
            still = {segment.generator for segment in line[self.capacity :]} if blocked else blocked
            free |= blocked - still
            blocked = still
            if events and events[0][0] == now:
                continue  # an update of duration 0 is published before any segment begins
            for number in sorted(free):
                if self.admission == "bounded" and begun >= (self.eta + version + 1) * self.batch:
                    break
                made[number] = Segment(number, version)
                working[number] = now, duration()
                free.remove(number)
                begun += 1
                heapq.heappush(events, (now + working[number][1], _GENERATOR, number))

    def _take(self, line: list[Segment], version: int) -> list[Segment]:
        """Remove and return the batch at the front of the queue; empty if there is no complete one."""
        if self.admission == "drop":
            line[:] = [segment for segment in line if version - segment.version <= self.eta]
        places: Sequence[int] = range(len(line))
        if self.take == "each":
            first: dict[int, int] = {}
            for i, segment in enumerate(line):
                first.setdefault(segment.generator, i)
            places = [first[number] for number in sorted(first)]
        if len(places) < self.batch:
            return []
        taken = places[: self.batch]
        gone = {*taken}
        found = [line[i] for i in taken]
        line[:] = [segment for i, segment in enumerate(line) if i not in gone]
        return found


class Played:
    """The versions that a run's actors hold if an engine's batches are assigned to them.

    The segments of a batch are assigned to equal parts of the actors, the oldest to those that held the oldest version,
    so that as few as possible would return to an older version. Those keep their version: no engine's actors go back.
    """

    def __init__(self, options: Options, actors: int, rng: np.random.Generator) -> None:
        batch = actors if options.batch is None else options.batch
        if actors % batch:
            raise UsageError(
                f"{actors} actors cannot be divided evenly among a batch of {batch} segments; give a batch that "
                f"divides {actors}"
            )
        engine = Engine(
            generators=max(1, round(options.generators * batch)),
            batch=batch,
            capacity=round(options.capacity * batch),
            learner=options.learner,
            take=options.take,
            admission=options.admission,
            eta=options.eta,
        )
        self._batches = engine.batches(durations(options.times, options.sigma, options.longest, rng))
        self._share = actors // batch
        self._holds = np.zeros(batch, dtype=np.int64)
        self._played: list[NDArray[np.int64]] = []
        self._segments: list[list[Segment]] = []  # by equal parts of the actors

    def __call__(self, phase: int) -> NDArray[np.int64]:
        """The versions [actors] of a phase."""
        while len(self._played) <= phase:
            segments = sorted(next(self._batches), key=lambda segment: segment.version)
            order = np.argsort(self._holds, kind="stable")
            self._holds[order] = np.maximum(self._holds[order], [segment.version for segment in segments])
            self._played.append(np.repeat(self._holds, self._share))
            self._segments.append([segments[i] for i in np.argsort(order)])
        return self._played[phase]

    def by_step(self, phase: int, steps: int) -> NDArray[np.int64]:
        """The versions [steps, actors] of a phase if a published version replaces that of unfinished segments.

        Steps are equally spaced: step t is at the share t/steps of the segment's time.
        """
        held = np.tile(self(phase), (steps, 1))
        for part, segment in zip(
            np.split(held, len(self._segments[phase]), axis=1), self._segments[phase], strict=True
        ):
            for share, version in segment.published:
                later = part[math.ceil(share * steps) :]
                np.maximum(later, version, out=later)
        return held


def durations(times: Times, sigma: float, longest: float, rng: np.random.Generator) -> Callable[[], float]:
    """A function that draws times of segments, with mean 1.

    Args:
        times: ``constant``; ``lognormal``, whose logarithm has the standard deviation ``sigma``; or proportional to the
            ``length`` of a completion that ends at each token with equal probability, truncated at ``longest`` mean
            lengths.
        sigma: see ``times``.
        longest: see ``times``.
        rng: the generator to draw from.
    """
    if times == "constant":
        return lambda: 1.0
    if times == "lognormal":
        return lambda: math.exp(sigma * rng.standard_normal() - sigma * sigma / 2)
    mean = -math.expm1(-longest)
    return lambda: min(rng.standard_exponential(), longest) / mean
