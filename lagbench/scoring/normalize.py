"""Returns as scores: 0 is the untrained policy, 1 is PPO at lag 0, by task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lagbench import suites
from lagbench.scoring.grid import Entry, Grid, ScoredRun, domain_of
from lagbench.suites import references

Array = NDArray[np.float64]
"""An array of returns or scores."""


@dataclass(frozen=True)
class Scale:
    """The returns that score 0 and 1 on a task.

    Attributes:
        start: the untrained policy's return.
        reference: PPO's return at lag 0.
    """

    start: float
    reference: float

    def score(self, returns: Array) -> Array:
        """(return − start) / (reference − start), not clipped."""
        return (returns - self.start) / (self.reference - self.start)


@dataclass(frozen=True)
class Scores:
    """A grid's scores over the budget.

    Attributes:
        grid: the runs.
        scales: scales by task; None without references.
    """

    grid: Grid
    scales: Mapping[str, Scale] | None

    def curve(self, entry: Entry, value: int, task: str) -> Array | None:
        """[runs, fractions], by increasing seed: scores, or returns without scales. None as for ``returns``."""
        whole = self.returns(entry, value, task)
        return whole if whole is None or self.scales is None else self.scales[task].score(whole)

    def returns(self, entry: Entry, value: int, task: str) -> Array | None:
        """[runs, fractions], by increasing seed, with the substitute values of diverged runs.

        None without runs, and if a diverged run's value is unknown.
        """
        runs = entry.runs.get((value, task), ())
        if not runs or (any(map(self._cut_short, runs)) and self.scales is None and self.grid.measure == "mode"):
            return None
        size = len(self.grid.fractions)
        return np.array([[*run.returns, *[self._rest(run, task)] * (size - len(run.returns))] for run in runs])

    def mode_returns(self, entry: Entry, value: int, task: str) -> Array | None:
        """[runs]: the last returns with the mean action or greedy answers, likewise; None in version 0 too."""
        runs = entry.runs.get((value, task), ())
        if not runs or self.grid.measure == "mode":
            return None
        ends = [(run.mode_returns[0], run.mode_returns[-1]) for run in runs]
        return np.array([min(pair) if run.diverged else pair[-1] for pair, run in zip(ends, runs, strict=True)])

    def _rest(self, run: ScoredRun, task: str) -> float:
        """The substitute value of a diverged run: its first or last return, the lower, so that divergence never pays.

        In version 0, whose measure is the mean action: the return that scores 0.
        """
        if self.grid.measure != "mode":
            return min(run.returns[0], run.returns[-1])
        return 0.0 if self.scales is None else self.scales[task].start

    def block(self, entry: Entry, value: int) -> Array | None:
        """[runs, tasks, fractions]; None if ``absent`` gives a reason."""
        if self.absent(entry, value):
            return None
        curves = [self.curve(entry, value, task) for task in self.grid.tasks]
        return np.stack([curve for curve in curves if curve is not None], axis=1)

    def absent(self, entry: Entry, value: int) -> str:
        """Why an entry has no aggregates over tasks at a value of the axis; empty if it has."""
        seeds = {task: [run.seed for run in entry.runs.get((value, task), ())] for task in self.grid.tasks}
        if lacking := [task for task in self.grid.tasks if not seeds[task]]:
            return f"no runs on {', '.join(lacking)}"
        if len({tuple(own) for own in seeds.values()}) > 1:
            return "different seeds on different tasks"
        if any(self.curve(entry, value, task) is None for task in self.grid.tasks):
            return "a run diverged, and the return that scores 0 is unknown"
        return ""

    def area(self, curves: Array) -> Array:
        """The area under curves [..., fractions], by the trapezoidal rule over fractions of the budget."""
        return np.asarray(np.trapezoid(curves, self.grid.fractions, axis=-1))

    def _cut_short(self, run: ScoredRun) -> bool:
        return len(run.returns) < len(self.grid.fractions)


def scores(grid: Grid) -> Scores:
    """The scores of a grid, by ``scales``.

    Args:
        grid: the runs.

    Returns:
        Scores, or returns without scales.
    """
    return Scores(grid, scales(grid))


def scales(grid: Grid) -> Mapping[str, Scale] | None:
    """The normalisation of a grid's returns: the suite's references.

    Args:
        grid: the runs.

    Returns:
        Scales by task, 0 and 1 if returns are already scores, such as accuracy; None without references.
    """
    if are_scores(grid):
        return {task: Scale(0.0, 1.0) for task in grid.tasks}
    if grid.suite is None:
        return None
    found = references.load(suites.load(grid.suite.name))
    if found is None:
        return None
    return {task: Scale(at.start.mean, at.reference.mean) for task, at in found.tasks.items()}


def are_scores(grid: Grid) -> bool:
    """Whether a grid's returns are already scores, such as accuracy.

    Args:
        grid: the runs.

    Returns:
        Whether they are, on every task.
    """
    return all(domain_of(task).returns_are_scores for task in grid.tasks)
