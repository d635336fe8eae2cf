"""The driver of a sweep: ``run_grid``."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lagbench.errors import LagbenchError
from lagbench.runner import signals_wait
from lagbench.sweep import claims
from lagbench.sweep.cells import Go, Planned, State, go_on, look, survey
from lagbench.sweep.executor import Advanced, Ended, Executor
from lagbench.sweep.processes import Processes
from lagbench.sweep.watcher import Watcher

_TICK_S = 0.5
# The share of time that a sweep with nothing to start spends checking on other processes.
_LOOKING_SHARE = 0.05


@dataclass(frozen=True)
class CellOutcome:
    """A cell and its state.

    Attributes:
        cell: ``spec`` and ``path``, the run's directory.
        state: ``status``, ``reason``, and for a finished run ``score`` (the mean return of its last evaluation) and
            ``error`` (the standard error of that mean).
    """

    cell: Planned
    state: State


class SweepEnded(LagbenchError):
    """A sweep ended early, by a signal or because no cell can continue. ``outcomes`` has all cells."""

    def __init__(self, message: str, outcomes: Sequence[CellOutcome], exit_code: int = 1) -> None:
        super().__init__(message)
        self.outcomes = outcomes
        self.exit_code = exit_code


def run_grid(
    cells: Sequence[Planned],
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
    watcher: Watcher | None = None,
    taken: Mapping[Planned, State] | None = None,
) -> list[CellOutcome]:
    """Run a grid: start missing cells, resume interrupted ones, and skip cells claimed by other processes.

    Returns when every cell is done, including those of other processes that share the directory. A failed cell does not
    stop the others; recorded failures are not tried again.

    Args:
        cells: from ``grid.plan``.
        jobs: number of concurrent processes, which divide the cores; None: one per core.
        executor: runs the cells instead of local processes.
        watcher: receives progress.
        taken: cells that are finished elsewhere, see ``taken.taken``; their directories are ignored.

    Returns:
        Every cell with its state, in the order of the plan.

    Raises:
        UsageError: a directory contains a run of another specification; nothing was started.
        SweepEnded: after SIGINT or SIGTERM, or if a cause such as a full disk affects every cell.
    """
    states = survey(cells, taken)
    sweep = _Sweep(states, executor or Processes(jobs), watcher or Watcher())
    sweep.run()
    return sweep.outcomes()


def make_executor(address: str | None, jobs: int | None = None, threads: int = 0, go: Go = go_on) -> Executor:
    """An executor that runs cells in processes of this machine or on a Ray cluster.

    Args:
        address: of a Ray cluster; None for this machine.
        jobs: number of concurrent cells; None: one per core.
        threads: EnvPool threads per cell; 0: the cores are divided.
        go: function that runs a cell.

    Returns:
        The argument ``executor`` of ``run_grid``.

    Raises:
        UsageError: there is no such cluster.
    """
    if address is None:
        return Processes(jobs, threads, go)
    from lagbench.sweep.ray_cluster import RayCluster

    return RayCluster(address, jobs, threads, go)


class _Sweep:
    def __init__(self, states: dict[Planned, State], executor: Executor, watcher: Watcher) -> None:
        self._states = states
        self._executor = executor
        self._watcher: Watcher | None = watcher
        self._waiting = deque(cell for cell, state in states.items() if not state.is_over)
        self._running: set[Planned] = set()
        self._look_at = 0.0
        self._general = ""

    def outcomes(self) -> list[CellOutcome]:
        """Every cell, in the order of the plan."""
        return [CellOutcome(cell, state) for cell, state in self._states.items()]

    def run(self) -> None:
        """Run until every cell is done or the sweep is stopped. Raises SweepEnded."""
        self._tell(lambda w: w.start(self._states, self._executor.slots))
        with signals_wait(lambda: self._tell(lambda w: w.stopping())) as received:
            try:
                self._loop(received)
            except KeyboardInterrupt:
                pass
            finally:
                self._executor.close()
                for cell in self._running:
                    self._states[cell] = look(cell)
                self._tell(lambda w: w.close())
        if self._general:
            raise SweepEnded(f"no cell can continue: {self._general}", self.outcomes())
        if any(not state.is_over for state in self._states.values()):
            number = received() or 2
            over = sum(state.is_over for state in self._states.values())
            message = f"interrupted after {over} of {len(self._states)} cells"
            raise SweepEnded(message, self.outcomes(), exit_code=128 + number)

    def _loop(self, received: Callable[[], int]) -> None:
        stopped = False
        while self._running or (self._waiting and not stopped):
            if not stopped and (received() or self._general):
                stopped = True
                self._executor.stop()
            if not stopped:
                self._fill()
            for event in self._executor.wait(_TICK_S):
                match event:
                    case Advanced():
                        self._advance(event)
                    case Ended():
                        self._end(event, stopping=bool(received() or self._general))

    def _fill(self) -> None:
        while len(self._running) < self._executor.slots and (cell := self._next()) is not None:
            self._begin(cell)

    def _begin(self, cell: Planned) -> None:
        self._running.add(cell)
        self._tell(lambda w: w.begun(cell))
        self._executor.start(cell)

    def _advance(self, event: Advanced) -> None:
        self._tell(lambda w: w.advanced(event.cell, event.phases))

    def _next(self) -> Planned | None:
        """Return the first unclaimed cell; None if there is none, in which case it checks again only after a while."""
        began = time.monotonic()
        if began < self._look_at:
            return None
        for _ in range(len(self._waiting)):
            cell = self._waiting.popleft()
            state = look(cell)
            if state.is_over:
                self._over(cell, state)
            elif claims.holder(cell.path) is None:
                return cell
            else:
                self._waiting.append(cell)
        self._look_at = time.monotonic() + (time.monotonic() - began) / _LOOKING_SHARE
        self._tell(lambda w: w.elsewhere(len(self._waiting)))
        return None

    def _end(self, event: Ended, *, stopping: bool) -> None:
        cell = event.cell
        self._running.remove(cell)
        state = look(cell)
        if event.elsewhere:
            self._waiting.append(cell)
            self._tell(lambda w: w.left(cell))
            return
        if not state.is_over and not stopping:
            state = State("crashed", event.reason or "it ended without a result")
        if event.is_general and not self._general:
            self._general = event.reason
        self._over(cell, state)

    def _over(self, cell: Planned, state: State) -> None:
        self._states[cell] = state
        self._tell(lambda w: w.ended(cell, state))

    def _tell(self, call: Callable[[Watcher], Any]) -> None:
        """Notify the watcher, unless it has failed before: stderr may be closed."""
        if self._watcher is None:
            return
        try:
            call(self._watcher)
        except Exception as error:
            self._watcher = None
            with contextlib.suppress(OSError, ValueError):
                print(f"warning: the display failed: {type(error).__name__}: {error}", file=sys.stderr)
