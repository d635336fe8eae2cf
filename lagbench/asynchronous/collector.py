"""The learner's side of an asynchronous run: starts actor processes, replaces those that die, and takes their data."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lagbench import cluster
from lagbench.actors.base import Actors
from lagbench.asynchronous.exchange import Exchange, Taken
from lagbench.asynchronous.process import act, part_of
from lagbench.collecting import Collected, Collector
from lagbench.errors import LagbenchError
from lagbench.lag.histogram import Histogram
from lagbench.policies.base import Version
from lagbench.records.schema import QUEUED
from lagbench.spec import RunSpec

# Deaths of a process at the same segment that are tolerated.
_FRUITLESS = 3


class Apart(Collector):
    """Collects with actor processes, each with a share of the run's actors and a queue of segments.

    Args:
        spec: the run.
        actors: the learner's own actors, which combine shares and play evaluations but do not act in phases.
        threads: EnvPool threads of each process; 0: one.
        address: address of a Ray cluster; None: processes on this machine.

    Raises:
        UsageError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(self, spec: RunSpec, actors: Actors, threads: int, address: str | None) -> None:
        super().__init__(spec, actors, 0)
        options = spec.protocol.lag_options
        self._threads = threads
        self._processes, self._capacity = int(options["actor_processes"]), int(options["queue"])
        self._end: Callable[[], None]
        if address is None:
            self._ray, self._end = cluster.here(cluster.APART, self._processes + 1)
        else:
            self._ray = cluster.connect(address, cluster.APART)
            self._end = self._ray.shutdown
        self._made = [0]  # optimizer updates in total, by version
        self._states: list[Mapping[str, Any] | None] = [None] * self._processes
        self._exchange: Any = None
        self._running: dict[Any, int] = {}
        self._lost = [(-1, 0)] * self._processes
        self._dropped = 0

    def publish(self, version: Version, updates_made: int) -> None:
        """See ``Collector.publish``: actors get the version when they begin their next segment."""
        self._buffer.push(version)
        if version.number:
            self._made.append(self._made[-1] + updates_made)
        if self._exchange is not None:
            self._send(version)

    def collect(self, phase: int) -> Collected:
        """See ``Collector.collect``: takes one segment of each process as soon as each has one.

        Raises LagbenchError if a process fails, or dies repeatedly at one segment.
        """
        if self._exchange is None:
            self._start(phase)
        began = self._dropped
        taken, waited = self._take()
        assert all(one.segment.number == phase for one in taken)
        shares = []
        for process, one in enumerate(taken):
            share, self._states[process] = pickle.loads(one.segment.content)
            shares.append(share)
        size = len(part_of(self._spec, 0))
        versions = np.repeat([one.segment.version for one in taken], size)
        queued = np.repeat([one.queued for one in taken], size).astype(np.float32)
        collection = self._actors.gather(shares, versions, phase)
        columns = collection.transitions.columns
        timed = {**columns, f"seconds_{QUEUED}": queued[columns["actor"]]}
        transitions = dataclasses.replace(collection.transitions, columns=timed)
        lag = Histogram.of(phase - versions)
        in_updates = np.array([self._made[phase] - self._made[version] for version in versions])
        return Collected(
            versions=versions,
            collection=dataclasses.replace(collection, transitions=transitions),
            diagnostics={
                "backward_lag_p95": float(lag.quantile(0.95)),
                "backward_lag_updates_mean": float(in_updates.mean()),
                "backward_lag_updates_p95": float(np.quantile(in_updates, 0.95, method="inverted_cdf")),
                "backward_lag_updates_max": float(in_updates.max()),
                "segments_dropped": float(self._dropped - began),
            },
            seconds={
                "waiting": waited,
                **{
                    name: float(np.mean([one.segment.seconds[name] for one in taken]))
                    for name in ("acting", "blocked", "fetching")
                },
            },
        )

    def state(self) -> dict[str, Any]:
        """See ``Collector.state``: actors are in the state after their last segment that was taken."""
        newest = self.newest()
        return {
            "actors": {"learner": self._actors.state(), "processes": self._states},
            "versions": {newest.number: dict(newest.state)},
            "made": self._made,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``Collector.restore``: queued and unfinished segments are collected again."""
        self._actors.restore(state["actors"]["learner"])
        self._states = list(state["actors"]["processes"])
        self._made = list(state["made"])
        for number, tensors in state["versions"].items():
            self._buffer.push(Version(number, tensors))

    def close(self) -> None:
        """See ``Collector.close``: stops the processes at once."""
        for handle in (*self._running, self._exchange):
            if handle is not None:
                self._stop(handle)
        self._running = {}
        self._end()

    def _start(self, first: int) -> None:
        remote = self._ray.remote(num_cpus=0, max_concurrency=4 * self._processes + 4)
        self._exchange = remote(Exchange).remote(self._processes, self._capacity, first)
        self._send(self.newest())
        for process in range(self._processes):
            self._begin(process, 0, first, self._states[process])

    def _begin(self, process: int, life: int, first: int, state: Mapping[str, Any] | None) -> None:
        # One process per task; retries by Ray would restart it from its first arguments.
        task = self._ray.remote(num_cpus=1, max_retries=0, max_calls=1)(act)
        sources = tuple(self._spec.sources().values())
        handle = task.remote(self._exchange, self._spec.to_json(), sources, process, self._threads, life, first, state)
        self._running[handle] = process

    def _send(self, version: Version) -> None:
        self._ray.get(self._exchange.publish.remote(version.number, [self._ray.put(version)]))

    def _take(self) -> tuple[Sequence[Taken], float]:
        """A batch, and the seconds of waiting for it."""
        began = time.monotonic()
        batch = self._exchange.take.remote()
        while True:
            ready, _ = self._ray.wait([batch, *self._running], num_returns=1)
            if batch in ready:
                return self._ray.get(batch), time.monotonic() - began
            for handle in ready:
                self._ended(handle, self._running.pop(handle))

    def _ended(self, handle: Any, process: int) -> None:
        """Handle the end of a process: of the run, or its death, after which it is restarted at its next segment."""
        try:
            self._ray.get(handle)
        except self._ray.exceptions.RayTaskError as error:
            raise LagbenchError(
                f"actor process {process} failed ({' '.join(str(error.cause).split())}); fix the task, then start anew"
            ) from error
        except self._ray.exceptions.RayError as error:
            life, following, content = self._ray.get(self._exchange.revive.remote(process))
            segment, times = self._lost[process]
            times = times + 1 if segment == following else 1
            self._lost[process] = (following, times)
            if times > _FRUITLESS:
                raise LagbenchError(
                    f"actor process {process} died {times} times in phase {following} ({type(error).__name__}); check "
                    "the machine's memory, and resume with: lagbench resume RUN"
                ) from error
            self._dropped += 1
            state = self._states[process] if content is None else pickle.loads(content)[1]
            self._begin(process, life, following, state)

    def _stop(self, handle: Any) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):  # it may have ended already
            if handle is self._exchange:
                self._ray.kill(handle)
            else:
                self._ray.cancel(handle, force=True)
