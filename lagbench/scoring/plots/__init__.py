"""Figures of results and details, made without pyplot's state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from matplotlib.figure import Figure

from lagbench.scoring import measured
from lagbench.scoring.details import Details
from lagbench.scoring.plots import diagnostics, labels, scores
from lagbench.scoring.plots.canvas import Picture, settings
from lagbench.scoring.plots.pairs import pairs
from lagbench.scoring.results import Results
from lagbench.scoring.significance import LEVEL

Draw = Callable[[Results, Details], Figure]
"""A function that draws a figure."""


def pictures(
    results: Results, details: Details, only: Collection[str] | None = None, most: int | None = None
) -> Iterator[Picture]:
    """All applicable figures of some results, in the order of a report.

    Args:
        results: results of ``score.score_grid``.
        details: details of the same scores, by ``lagbench.scoring.details.details``.
        only: names of the figures to draw.
        most: maximum number of panels per row.

    Yields:
        Figures of matplotlib, each with ``name``, ``title`` and ``caption``.
    """
    for name in names(results, details):
        if only is not None and name not in only:
            continue
        (plan,) = [plan for plan in _plan(results, details) if plan[0] == name]
        _, title, caption, draw = plan
        with settings(most):
            figure = draw(results, details)
        yield Picture(name, title, caption, figure)


def names(results: Results, details: Details) -> list[str]:
    """The names of the applicable figures.

    Args:
        results: results of ``score.score_grid``.
        details: details of the same scores.

    Returns:
        Names, in the order of a report.
    """
    missing = _reasons(results, details)
    return [name for name, *_ in _plan(results, details) if name not in missing]


def left_out(results: Results, details: Details) -> list[str]:
    """The figures that are left out, and why.

    Args:
        results: results of ``score.score_grid``.
        details: details of the same scores.

    Returns:
        A sentence for each reason.
    """
    titles = {name: title for name, title, *_ in _plan(results, details)}
    reasons: dict[str, list[str]] = {}
    for name, why in _reasons(results, details).items():
        reasons.setdefault(why, []).append(titles[name])
    return [f"{', '.join(which)}: {why}" for why, which in reasons.items()]


def _plan(results: Results, details: Details) -> list[tuple[str, str, str, Draw]]:
    axis, meaning = results.axis, labels.meaning(results)
    kind = labels.SCORE[results.kind]
    corrected = f", with Holm's correction over {results.pairs} pairs" if results.pairs > 1 else ""
    star = f" *: IQMs differ significantly (p ≤ {LEVEL}{corrected})." if results.normalized else ""
    ess = "ESS is that of the weights w = π_T/β. " if axis == "lag" else ""
    return [
        (
            "lag",
            f"Score against {axis}",
            f"IQM over runs and tasks of the final score and of the area under the curve of evaluations, bands: 95% "
            f"intervals. {meaning}",
            scores.against_axis,
        ),
        (
            "intervals",
            "Interval estimates",
            "IQM, median, mean and optimality gap of the final score: estimate and 95% interval. For the optimality "
            f"gap, lower is better. {meaning}",
            scores.intervals,
        ),
        (
            "pairs",
            "Probability of improvement",
            "The probability that a run of the row's algorithm has a higher final score than one of the column's on "
            f"the same task, mean over tasks.{star}",
            pairs,
        ),
        (
            "training",
            "Over training",
            f"IQM over runs and tasks at each evaluation, bands: 95% intervals. {meaning}",
            scores.training,
        ),
        (
            "area",
            "Area under the curve",
            f"IQM of the area under the curve of evaluations, over the fractions of the budget: estimate and 95% "
            f"interval. {meaning}",
            scores.area,
        ),
        (
            "profiles",
            "Performance profiles",
            f"The share of runs × tasks whose final score is above τ, bands: 95% intervals. {meaning}",
            scores.profiles,
        ),
        (
            "tasks",
            f"Tasks against {axis}",
            f"Mean over seeds of the final {kind}, bands: 95% intervals.",
            scores.tasks_against_axis,
        ),
        (
            "tasks-training",
            "Tasks over training",
            f"Mean over seeds of the {kind} at each evaluation, bands: 95% intervals.",
            scores.tasks_training,
        ),
        (
            "divergence",
            "Score against divergence",
            f"IQM of the final score against the total variation that was measured, a mean over the phases of a run, "
            f"then over runs and tasks: one point per value of {axis}, bars: 95% intervals. {meaning}",
            diagnostics.against_divergence,
        ),
        (
            "diagnostics",
            f"Diagnostics against {axis}",
            f"Means over the phases of a run, then over runs and tasks, bands: 95% intervals. β is the behaviour "
            f"policy, π_T the policy before a phase's updates, π the policy after them. {ess}"
            + measured.shares(details),
            diagnostics.diagnostics,
        ),
    ]


def _reasons(results: Results, details: Details) -> dict[str, str]:
    """Name of a figure → why it is left out."""
    found: dict[str, str] = {}
    over = ("lag", "intervals", "training", "area", "profiles", "divergence")
    if not results.normalized:
        found |= dict.fromkeys(over, "returns are not normalised, so they cannot be aggregated over tasks")
    elif not any(point.final for line in results.lines for point in line.points):
        found |= dict.fromkeys(over, "no algorithm has the same seeds on every task")
    if len(results.values) == 1:
        found |= dict.fromkeys(("lag", "tasks"), f"there is only one value of {results.axis}")
    if not any(task.final for line in results.lines for point in line.points for task in point.tasks):
        found |= dict.fromkeys(("tasks", "tasks-training"), "no task has a score")
    unmeasured = "diagnostics are missing, or not from the same runs on every task"
    if not measured.known(details, results.axis):
        found["diagnostics"] = unmeasured
    if not any(measured.series(line, measured.divergence(results.axis)) for line in details.lines):
        found.setdefault("divergence", unmeasured)
    if not any(found for pair in results.comparisons for found in pair.improvements):
        found["pairs"] = "no two algorithms have runs of the same cells"
    return found
