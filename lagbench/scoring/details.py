"""Further data for figures: scores over training and by threshold, and diagnostics of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lagbench.scoring import aggregate
from lagbench.scoring.bootstrap import intervals
from lagbench.scoring.grid import Entry, ScoredRun, domain_of
from lagbench.scoring.interval_estimates import interval_estimate
from lagbench.scoring.normalize import Scores
from lagbench.scoring.results import IntervalEstimate
from lagbench.scoring.table import Progress

Array = NDArray[np.float64]
"""An array of scores."""
_THRESHOLDS = 51


@dataclass(frozen=True)
class TaskCurve:
    """The mean score over seeds at each fraction of the budget.

    Attributes:
        task: task id.
        curve: means by fraction; empty without runs, or if a diverged run has no value.
    """

    task: str
    curve: tuple[IntervalEstimate, ...]


@dataclass(frozen=True)
class PointDetails:
    """An entry at one value of the axis.

    Attributes:
        value: value of the axis.
        curve: IQM at each fraction of the budget; empty without aggregates over tasks.
        profile: share of runs whose final score is above each threshold; empty likewise.
        tasks: curves by task.
        measured: means over runs and tasks of the diagnostics that every run has.
    """

    value: int
    curve: tuple[IntervalEstimate, ...]
    profile: tuple[IntervalEstimate, ...]
    tasks: tuple[TaskCurve, ...]
    measured: Mapping[str, IntervalEstimate]


@dataclass(frozen=True)
class LineDetails:
    """An entry over the whole axis.

    Attributes:
        label: name in tables and figures.
        points: details by value of the axis.
    """

    label: str
    points: tuple[PointDetails, ...]


@dataclass(frozen=True)
class Details:
    """Details of all lines.

    Attributes:
        budget: budget of each run.
        unit: unit of the budget.
        fractions: fractions of the budget at which evaluations are.
        thresholds: scores at which profiles are evaluated.
        lines: details by entry.
    """

    budget: int
    unit: str
    fractions: tuple[float, ...]
    thresholds: tuple[float, ...]
    lines: tuple[LineDetails, ...]


def details(scores: Scores, *, replications: int, progress: Progress = lambda done, total: None) -> Details:
    """The details of scores; equal scores give equal details.

    Args:
        scores: result of ``normalize.scores``.
        replications: number of bootstrap replications.
        progress: called with the number of entries done and in total.

    Returns:
        The details, with 95% intervals as in ``score.score``.
    """
    grid = scores.grid
    lines = []
    for entry in grid.entries:
        points = tuple(_point(scores, entry, value, replications) for value in grid.values)
        lines.append(LineDetails(entry.label, points))
        progress(len(lines), len(grid.entries))
    return Details(
        budget=grid.budget,
        unit=domain_of(grid.tasks[0]).budget_unit,
        fractions=grid.fractions,
        thresholds=_thresholds(scores),
        lines=tuple(lines),
    )


def _thresholds(scores: Scores) -> tuple[float, ...]:
    """Thresholds from the lowest to the highest final score, including 0 and 1."""
    blocks = [scores.block(entry, value) for entry in scores.grid.entries for value in scores.grid.values]
    finals = [block[..., -1] for block in blocks if block is not None]
    if scores.scales is None or not finals:
        return ()
    low, high = (float(end([end(final) for final in finals])) for end in (np.min, np.max))
    return tuple(np.linspace(min(low, 0.0), max(high, 1.0), _THRESHOLDS).tolist())


def _point(scores: Scores, entry: Entry, value: int, replications: int) -> PointDetails:
    grid = scores.grid
    thresholds = np.array(_thresholds(scores))
    block = scores.block(entry, value) if scores.scales is not None else None
    curves = {task: scores.curve(entry, value, task) for task in grid.tasks} if block is None else {}
    alone = {task: curve for task, curve in curves.items() if curve is not None}
    names, measured = _measured([entry.runs.get((value, task), ()) for task in grid.tasks])

    def statistics(*drawn: Array) -> dict[str, Array]:
        rest = list(drawn)
        found = {}
        if block is not None:
            sample = rest.pop(0)
            found["curve"] = aggregate.iqm(sample)
            # As rliable's run_score_distribution.
            found["profile"] = (sample[:, :, -1, None] > thresholds[:, None]).mean(axis=(0, 1))
            means = aggregate.task_means(sample)
            found |= {_of(task): mean for task, mean in zip(grid.tasks, means, strict=True)}
        found |= {_of(task): aggregate.task_means(rest.pop(0)) for task in alone}
        if names:
            found["measured"] = rest.pop(0).mean(axis=(0, 1))
        return found

    given = [*([] if block is None else [block]), *alone.values(), *([measured] if names else [])]
    found = intervals(given, statistics, replications) if given else {}

    def several(name: str, runs: int) -> tuple[IntervalEstimate, ...]:
        if name not in found:
            return ()
        return tuple(interval_estimate(found[name], (i,), runs) for i in range(len(found[name].value)))

    whole = 0 if block is None else len(block)
    return PointDetails(
        value=value,
        curve=several("curve", whole),
        profile=several("profile", whole),
        tasks=tuple(
            TaskCurve(task, several(_of(task), len(alone[task]) if task in alone else whole)) for task in grid.tasks
        ),
        measured=dict(zip(names, several("measured", len(measured)), strict=True)),
    )


def _of(task: str) -> str:
    return f"on {task}"


def _measured(runs: Sequence[Sequence[ScoredRun]]) -> tuple[list[str], Array]:
    """The diagnostics that all runs have, and their values [runs, tasks, names]; empty unless tasks have equal runs."""
    everything = [run for own in runs for run in own]
    if not everything or len({len(own) for own in runs}) > 1:
        return [], np.empty((0, 0, 0))
    names = sorted(set.intersection(*(set(run.measured) for run in everything)))
    return names, np.array([[[run.measured[name] for name in names] for run in own] for own in runs]).swapaxes(0, 1)
