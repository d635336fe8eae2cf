"""Scoring of a table of runs: the numbers of every entry, and comparisons of all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lagbench.scoring import coverage, differences, grid, interval_estimates, normalize, power
from lagbench.scoring.normalize import Scores
from lagbench.scoring.results import Comparison, Line, Results
from lagbench.scoring.table import Progress

TERMINAL_REPLICATIONS = 2_000
"""Bootstrap replications for a quick look."""


def score(
    table: Any,
    *,
    by: Sequence[str] = (),
    suite: str | None = None,
    replications: int = TERMINAL_REPLICATIONS,
    progress: Progress = lambda done, total: None,
) -> Results:
    """Score the runs of a table (``table.collect``): equal tables give equal results.

    Args:
        table: one row per run.
        by: hyperparameters that split an algorithm into lines.
        suite: the suite whose cells are scored; see ``grid.read``.
        replications: number of bootstrap replications.
        progress: called with the number of bootstraps done and in total.

    Returns:
        Aggregates and 95% intervals by entry and value of the axis, differences of all pairs, ranks, power.

    Raises:
        UsageError: runs cannot be scored together; see ``grid.read``.
        LagbenchError: no run is finished.
    """
    return score_grid(normalize.scores(grid.read(table, by, suite)), replications=replications, progress=progress)


def score_grid(
    scores: Scores,
    *,
    replications: int = TERMINAL_REPLICATIONS,
    progress: Progress = lambda done, total: None,
) -> Results:
    """The results of normalised scores: the second half of ``score``.

    Args:
        scores: result of ``normalize.scores``.
        replications: number of bootstrap replications.
        progress: called with the number of bootstraps done and in total.

    Returns:
        As ``score``.
    """
    found = scores.grid
    fewest = min(len(own) for entry in found.entries for own in entry.runs.values())
    several = len(found.entries) > 1
    total = len(found.entries) + several
    lines: list[Line] = []
    pairs: tuple[Comparison, ...] = ()
    for entry in found.entries:
        lines.append(interval_estimates.line(scores, entry, replications))
        progress(len(lines), total)
    if several:
        pairs = differences.comparisons(scores, replications)
        progress(total, total)
    compared = sum(pair.p is not None for pair in pairs) or 1
    return Results(
        suite=found.suite,
        measure=found.measure,
        axis=found.axis,
        forward=found.forward,
        values=found.values,
        tasks=found.tasks,
        seeds=found.seeds,
        kind="return" if scores.scales is None else "accuracy" if normalize.are_scores(found) else "score",
        scales={task: (scale.start, scale.reference) for task, scale in (scores.scales or {}).items()},
        lines=differences.ranked(lines, pairs),
        comparisons=pairs,
        replications=replications,
        coverage=coverage.note(fewest, len(found.tasks)),
        coverage_by_task=coverage.note(fewest, 1),
        pairs=compared,
        power=power.power(
            [line.spread for line in lines if line.spread is not None], fewest, len(found.tasks), compared
        ),
        notes=(*found.notes, *_notes(scores)),
    )


def _notes(scores: Scores) -> list[str]:
    notes = []
    if scores.scales is None:
        suite = scores.grid.suite
        why = "the runs belong to no suite" if suite is None else f"{suite.name} has no references"
        notes.append(
            f"{why}, so returns are not normalised: scores are shown per task, and across tasks only the probability "
            "of improvement"
        )
        diverged = sum(run.diverged for entry in scores.grid.entries for own in entry.runs.values() for run in own)
        if diverged and scores.grid.measure == "mode":
            notes.append(
                f"{diverged} run{'s' * (diverged > 1)} diverged; a diverged run counts as a score of 0, but without "
                "references the return that scores 0 is unknown, so its task has no score"
            )
    return notes
