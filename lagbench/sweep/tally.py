"""Progress and estimated end of a sweep."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from lagbench.sweep import cost
from lagbench.sweep.cells import Planned, State


class Tally:
    """Counts cells and their work, in estimated seconds, or in phases if a cell has no estimate.

    Args:
        states: the initial state of every cell.
        clock: seconds.
    """

    def __init__(self, states: Mapping[Planned, State], clock: Callable[[], float] = time.monotonic) -> None:
        self._states = dict(states)
        self._clock = clock
        self._began = clock()
        seconds = {cell: cost.seconds(cell.spec) for cell in states}
        known = all(s is not None for s in seconds.values())
        self._work = {cell: float((s if known else None) or cell.spec.phases) for cell, s in seconds.items()}
        # Phases of a resumed cell that were completed before this sweep; they do not count as its work.
        self._first: dict[Planned, int] = {}
        self._phases: dict[Planned, int] = {}
        self._started: dict[Planned, float] = {}
        self._done = 0.0

    @property
    def counts(self) -> Counter[str]:
        """Cells by status."""
        return Counter(state.status for state in self._states.values())

    @property
    def over(self) -> int:
        """Number of cells that are done."""
        return sum(state.is_over for state in self._states.values())

    @property
    def running(self) -> list[Planned]:
        """Cells that this sweep runs, in the order of their start."""
        return list(self._started)

    def begin(self, cell: Planned) -> None:
        """Note the start of a cell."""
        self._started[cell] = self._clock()

    def advance(self, cell: Planned, phases: int) -> None:
        """Note the number of phases that a cell has completed."""
        self._first.setdefault(cell, phases)
        self._phases[cell] = phases

    def end(self, cell: Planned, state: State) -> float:
        """Note the end of a cell; return the seconds since its start, 0 if this sweep did not start it."""
        began = self._started.pop(cell, None)
        if state.is_over:
            self._done += self._work[cell] * (1 - self._first.get(cell, 0) / cell.spec.phases)
        self._states[cell] = state
        return 0.0 if began is None else self._clock() - began

    def leave(self, cell: Planned) -> None:
        """Note that another process runs the cell."""
        self._started.pop(cell, None)

    def share(self, cell: Planned) -> float:
        """The completed share of a running cell."""
        return self._phases.get(cell, 0) / cell.spec.phases

    def phases(self, cell: Planned) -> int:
        """Completed phases of a running cell."""
        return self._phases.get(cell, 0)

    def pace(self, cell: Planned) -> float | None:
        """Samples per second of a running cell; None before it has made progress."""
        passed = self._clock() - self._started[cell]
        made = self._phases.get(cell, 0) - self._first.get(cell, 0)
        return made * cell.spec.protocol.samples / passed if made and passed else None

    def seconds_left(self) -> float | None:
        """Estimated seconds until all cells are done; None before there is progress."""
        running = {c: self._work[c] * self.share(c) for c in self._started}
        begun = {c: self._work[c] * self._first.get(c, 0) / c.spec.phases for c in self._started}
        done = self._done + sum(running[c] - begun[c] for c in self._started)
        passed = self._clock() - self._began
        if done <= 0 or passed <= 0:
            return None
        left = sum(self._work[c] - running.get(c, 0.0) for c, state in self._states.items() if not state.is_over)
        return left / (done / passed)
