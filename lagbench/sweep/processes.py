"""Executor with local processes, forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess

from lagbench.machine import cores
from lagbench.sweep import worker
from lagbench.sweep.cells import Go, Planned, go_on
from lagbench.sweep.executor import Advanced, Ended, Event, Executor

_GRACE_S = 10.0
_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass
class _Running:
    cell: Planned
    process: ForkServerProcess
    connection: Connection
    end: worker.End | None = None
    events: list[Event] = field(default_factory=list)

    def read(self) -> None:
        """Receive the process's messages."""
        try:
            while self.connection.poll():
                said = self.connection.recv()
                if isinstance(said, worker.End):
                    self.end = said
                else:
                    self.events.append(Advanced(self.cell, said))
        except (EOFError, OSError):
            pass  # no more messages

    def ended(self) -> Ended:
        """Return how the process ended."""
        if self.end is not None:
            return Ended(self.cell, self.end.reason, self.end.elsewhere, self.end.is_general)
        code = self.process.exitcode or 0
        what = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = ", possibly out of memory" if code == -signal.SIGKILL else ""
        log = worker.log_file(self.cell.path)
        see = f"; see {log}" if log.exists() and log.stat().st_size else ""
        return Ended(self.cell, f"its process was {what}{hint}{see}" if code < 0 else f"its process {what}{see}")


class Processes(Executor):
    """Runs each cell in a process of its own.

    Args:
        jobs: number of concurrent cells, which divide the cores; None: one per core.
        threads: EnvPool threads per cell; 0: its share of the cores. Rows do not depend on them.
        go: function that runs a cell, in its process.
    """

    def __init__(self, jobs: int | None = None, threads: int = 0, go: Go = go_on) -> None:
        self._go = go
        self.slots = cores() if jobs is None else jobs
        self._threads = threads or max(1, cores() // self.slots)
        self._running: list[_Running] = []
        # Preload modules that take seconds to import.
        _CONTEXT.set_forkserver_preload(
            ["lagbench.sweep.worker", "lagbench.actors.control", "lagbench.tasks.mujoco", "torch._dynamo"]
        )
        forkserver.ensure_running()

    def start(self, cell: Planned) -> None:
        """See ``Executor.start``."""
        ours, theirs = _CONTEXT.Pipe(duplex=False)
        spec, sources = cell.spec.to_json(), list(cell.spec.sources().values())
        arguments = (theirs, spec, sources, cell.path, self._threads, self._go)
        # Daemonic: this process must not wait at exit for one that was never stopped.
        process = _CONTEXT.Process(target=worker.main, args=arguments, daemon=True)
        process.start()
        theirs.close()
        self._running.append(_Running(cell, process, ours))

    def wait(self, seconds: float) -> Sequence[Event]:
        """See ``Executor.wait``."""
        if not self._running:
            time.sleep(seconds)
            return []
        wait([x for r in self._running for x in (r.process.sentinel, r.connection)], seconds)
        events: list[Event] = []
        for running in list(self._running):
            over = not running.process.is_alive()
            running.read()
            events += running.events
            running.events.clear()
            if over:
                events.append(running.ended())
                self._forget(running)
        return events

    def stop(self) -> None:
        """See ``Executor.stop``."""
        for running in self._running:
            running.process.terminate()

    def close(self) -> None:
        """See ``Executor.close``."""
        self.stop()
        end = time.monotonic() + _GRACE_S
        for running in list(self._running):
            running.process.join(max(end - time.monotonic(), 0))
            running.process.kill()
            running.process.join()
            self._forget(running)

    def _forget(self, running: _Running) -> None:
        self._running.remove(running)
        running.connection.close()
        running.process.close()
