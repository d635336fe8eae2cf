"""Executor on a Ray cluster (extra ``lagbench[ray]``): records are collected here, without a shared file system."""

from __future__ import annotations

import contextlib
import queue
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lagbench import cluster
from lagbench.errors import LagbenchError, RecordError
from lagbench.records.files import explained
from lagbench.sinks.base import Sink
from lagbench.source.files import Source
from lagbench.source.known import remember
from lagbench.spec import RunSpec
from lagbench.sweep import claims
from lagbench.sweep.cells import Go, Planned, go_on
from lagbench.sweep.executor import Advanced, Ended, Event, Executor
from lagbench.sweep.shipping import Change, Shipper, apply, pack
from lagbench.sweep.worker import End, explain
from lagbench.training import PhaseResult

_SHIP_EVERY_S = 1.0
# Consecutive workers that a cell may lose without progress before the cell is taken for the cause.
_FRUITLESS = 3


@dataclass(frozen=True)
class Report:
    """A task's report after a phase: phases done, changes in the directory, and how it ended, if it has."""

    phases: int
    changes: Sequence[Change]
    end: End | None = None


def work(
    spec: Mapping[str, Any], sources: Sequence[Source], before: Sequence[Change], threads: int, go: Go = go_on
) -> Iterator[Report]:
    """The Ray task: run a cell with ``go``, or resume it from the files in ``before``, in a local directory."""
    with tempfile.TemporaryDirectory(prefix="lagbench-") as root:
        directory = Path(root, "run")
        directory.mkdir()
        apply(directory, before)
        for source in sources:
            remember(source)
        ship = _Ship(directory)

        def run() -> None:
            try:
                go(RunSpec.from_json(spec), directory, threads=threads, sinks=[ship])
                end = End()
            except BaseException as error:
                end = explain(error)
            ship.end(end)

        # In a thread, since Ray consumes the generator at its own pace.
        thread = threading.Thread(target=run)
        thread.start()
        try:
            end = None
            while end is None:
                report = ship.reports.get()
                yield report
                end = report.end
        finally:
            ship.stop.set()
            thread.join()


class _Ship(Sink):
    """Reports a run at most about once a second."""

    def __init__(self, directory: Path) -> None:
        self.reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self.stop = threading.Event()
        self._shipper = Shipper(directory)
        self._shipper.changes()  # the driver has these files already
        self._phases = 0
        self._last = time.monotonic()

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """See ``Sink.start``."""
        self._phases = phases_done
        self.reports.put(Report(phases_done, ()))

    def write(self, result: PhaseResult) -> None:
        """See ``Sink.write``."""
        self._phases = result.record.phase + 1
        if self.stop.is_set():
            raise KeyboardInterrupt
        if time.monotonic() - self._last >= _SHIP_EVERY_S:
            self.reports.put(Report(self._phases, self._shipper.changes()))
            self._last = time.monotonic()

    def end(self, end: End) -> None:
        """Report the end of the run."""
        self.reports.put(Report(self._phases, self._shipper.changes(), end))


@dataclass
class _Running:
    cell: Planned
    claim: claims.Claim
    sources: tuple[Source, ...]
    generator: Any = None
    phases: int = 0
    fruitless: int = 0
    lost: threading.Event = field(default_factory=threading.Event)
    resources: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)


class RayCluster(Executor):
    """Runs each cell as a task on one core; if its worker is lost, another resumes it from the collected files.

    Args:
        address: ``auto``, or host:port of the head node.
        jobs: number of concurrent cells; None: one per core of the cluster.
        threads: EnvPool threads per cell; 0: one. Rows do not depend on them.
        go: function that runs a cell, on the worker.

    Raises:
        UsageError: there is no such cluster.
    """

    def __init__(self, address: str, jobs: int | None = None, threads: int = 0, go: Go = go_on) -> None:
        self._ray = cluster.connect(address, "--ray")
        self._jobs = jobs
        self._go = go
        self.slots = jobs or self._cores()
        self._threads = threads or 1
        self._task = self._ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(work)
        self._running: list[_Running] = []
        self._events: list[Event] = []

    def start(self, cell: Planned) -> None:
        """See ``Executor.start``."""
        try:
            claim = claims.take(cell.path)
            if claim is None:
                self._events.append(Ended(cell, elsewhere=True))
                return
            running = _Running(cell, claim, tuple(cell.spec.sources().values()))
            running.resources.enter_context(claims.renewed(claim, running.lost.set))
            self._running.append(running)
            self._submit(running)
        except (LagbenchError, OSError) as error:
            end = explain(error)
            self._events.append(Ended(cell, end.reason, is_general=end.is_general))

    def wait(self, seconds: float) -> Sequence[Event]:
        """See ``Executor.wait``."""
        self.slots = self._jobs or self._cores()
        for running in [r for r in self._running if r.lost.is_set()]:
            self._end(running, End(elsewhere=True))
        generators = [r.generator for r in self._running]
        if not self._events:
            if generators:
                self._ray.wait(generators, num_returns=1, timeout=seconds, fetch_local=False)
            else:
                time.sleep(seconds)
        count = len(generators)
        ready = self._ray.wait(generators, num_returns=count, timeout=0, fetch_local=False)[0] if generators else []
        for running in [r for r in self._running if r.generator in ready]:
            self._read(running)
        events, self._events = self._events, []
        return events

    def stop(self) -> None:
        """See ``Executor.stop``. Does not wait: the collected files are at most about a second old."""
        for running in list(self._running):
            self._end(running, End("interrupted"))

    def close(self) -> None:
        """See ``Executor.close``."""
        self.stop()
        self._ray.shutdown()

    def _cores(self) -> int:
        """The cluster's current number of cores."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 0)))

    def _submit(self, running: _Running) -> None:
        spec, before = running.cell.spec.to_json(), pack(running.cell.path)
        running.generator = self._task.remote(spec, running.sources, before, self._threads, self._go)

    def _read(self, running: _Running) -> None:
        """Apply the next report of a task, which must have one."""
        try:
            report: Report = self._ray.get(next(running.generator))
            with explained(running.cell.path, "try again"):
                apply(running.cell.path, report.changes)
        except self._ray.exceptions.RayTaskError as error:
            self._end(running, End(" ".join(str(error.cause).split())))
        except (self._ray.exceptions.RayError, StopIteration) as error:
            self._lost(running, error)
        except RecordError as error:
            self._end(running, explain(error))
        else:
            if report.phases > running.phases:
                running.phases, running.fruitless = report.phases, 0
            self._events.append(Advanced(running.cell, report.phases))
            if report.end is not None:
                # Never general: the cause was on the worker's machine.
                self._end(running, End(report.end.reason))

    def _lost(self, running: _Running, error: Exception) -> None:
        """Resume on another worker after the worker or its machine was lost."""
        running.fruitless += 1
        if running.fruitless > _FRUITLESS:
            what = type(error).__name__
            self._end(running, End(f"{running.fruitless} workers in a row were lost running it ({what})"))
        else:
            self._submit(running)

    def _end(self, running: _Running, end: End) -> None:
        self._running.remove(running)
        with contextlib.suppress(Exception):  # the task may have ended or its machine may be lost
            self._ray.cancel(running.generator)
        running.resources.close()
        if end == End():
            claims.clear(running.cell.path)
        running.claim.release()
        self._events.append(Ended(running.cell, end.reason, end.elsewhere, end.is_general))
