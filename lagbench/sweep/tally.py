"""Progress and estimated end of a sweep."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from lagbench.sweep import cost
from lagbench.sweep.cells import Planned, State


class Tally:
    """Counts cells, and the work that is in them: their estimated seconds, or where one has no estimate their phases.

    Args:
        states: every cell, as the sweep found it.
        clock: seconds.
    """

    def __init__(self, states: Mapping[Planned, State], clock: Callable[[], float] = time.monotonic) -> None:
        self._states = dict(states)
        self._clock = clock
        self._began = clock()
        seconds = {cell: cost.seconds(cell.spec) for cell in states}
        known = all(s is not None for s in seconds.values())
        self._work = {cell: float((s if known else None) or cell.spec.phases) for cell, s in seconds.items()}
        # A cell that was cut off has some phases behind it: those count for nothing that was done here.
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
        """Cells that nothing is left to do of."""
        return sum(state.is_over for state in self._states.values())

    @property
    def running(self) -> list[Planned]:
        """Cells that run here, in the order of their start."""
        return list(self._started)

    def begin(self, cell: Planned) -> None:
        """It was started here."""
        self._started[cell] = self._clock()

    def advance(self, cell: Planned, phases: int) -> None:
        """It has so many phases behind it."""
        self._first.setdefault(cell, phases)
        self._phases[cell] = phases

    def end(self, cell: Planned, state: State) -> float:
        """It is over, or left as it is; the seconds since it was started here, 0 where it was not."""
        began = self._started.pop(cell, None)
        if state.is_over:
            self._done += self._work[cell] * (1 - self._first.get(cell, 0) / cell.spec.phases)
        self._states[cell] = state
        return 0.0 if began is None else self._clock() - began

    def leave(self, cell: Planned) -> None:
        """It runs no more here, but elsewhere."""
        self._started.pop(cell, None)

    def share(self, cell: Planned) -> float:
        """How much of a running cell is done."""
        return self._phases.get(cell, 0) / cell.spec.phases

    def phases(self, cell: Planned) -> int:
        """Phases that a running cell has behind it."""
        return self._phases.get(cell, 0)

    def pace(self, cell: Planned) -> float | None:
        """A running cell's samples a second, None before there is something to go by."""
        passed = self._clock() - self._started[cell]
        made = self._phases.get(cell, 0) - self._first.get(cell, 0)
        return made * cell.spec.protocol.samples / passed if made and passed else None

    def seconds_left(self) -> float | None:
        """Until all is done, if it goes on like this; None before there is something to go by."""
        running = {c: self._work[c] * self.share(c) for c in self._started}
        begun = {c: self._work[c] * self._first.get(c, 0) / c.spec.phases for c in self._started}
        done = self._done + sum(running[c] - begun[c] for c in self._started)
        passed = self._clock() - self._began
        if done <= 0 or passed <= 0:
            return None
        left = sum(self._work[c] - running.get(c, 0.0) for c, state in self._states.items() if not state.is_over)
        return left / (done / passed)
