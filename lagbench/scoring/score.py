"""A table of runs → results: the numbers of every entry, and of every entry against every other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lagbench.scoring import coverage, differences, estimates, grid, normalize, parallel
from lagbench.scoring.normalize import Scores
from lagbench.scoring.parallel import Progress
from lagbench.scoring.results import Comparison, Line, Results

TERMINAL_REPLICATIONS = 2_000
REPORT_REPLICATIONS = 50_000


def score(
    table: Any,
    *,
    by: Sequence[str] = (),
    replications: int = TERMINAL_REPLICATIONS,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> Results:
    """Score the runs of a table (``table.collect``): equal tables give equal results, whatever ``jobs``.

    Args:
        table: one row a run.
        by: hyperparameters that split an algorithm into lines.
        replications: of the bootstrap.
        jobs: processes.
        progress: told how many replications of how many are done.

    Raises UsageError and LagbenchError as ``grid.read``.
    """
    found = grid.read(table, by)
    return score_grid(Scores(found, normalize.scales(found)), replications=replications, jobs=jobs, progress=progress)


def score_grid(
    scores: Scores,
    *,
    replications: int = TERMINAL_REPLICATIONS,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
) -> Results:
    """The results of scores that are normalised already. See ``score``."""
    found = scores.grid
    fewest = min(len(own) for entry in found.entries for own in entry.runs.values())
    several = len(found.entries) > 1
    # The longest first.
    tasks: list[int | None] = [*([None] if several else []), *range(len(found.entries))]
    done: Mapping[int | None, Any] = parallel.run(_one, scores, tasks, replications, jobs, progress)
    pairs: tuple[Comparison, ...] = done.get(None, ())
    lines: list[Line] = [done[i] for i in range(len(found.entries))]
    return Results(
        suite=found.suite,
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
        notes=(*found.notes, *_notes(scores)),
    )


def _notes(scores: Scores) -> list[str]:
    notes = []
    if scores.scales is None:
        why = "the runs are of no suite" if scores.grid.suite is None else f"{scores.grid.suite.name} has no references"
        notes.append(
            f"{why}, so that returns are not normalised: there are returns by task, and nothing over several tasks but "
            "the probability of improvement"
        )
        diverged = sum(run.diverged for entry in scores.grid.entries for own in entry.runs.values() for run in own)
        if diverged and scores.grid.measure == "mode":
            notes.append(
                f"{diverged} run{'s' * (diverged > 1)} diverged, which count as what scores 0; what that is is not "
                "known, so that their tasks have no score"
            )
    return notes


def _one(scores: Scores, task: int | None, replications: int, tick: Callable[[], object]) -> Any:
    """One piece of the work, the same wherever it is done."""
    if task is None:
        return differences.comparisons(scores, replications, tick)
    return estimates.line(scores, scores.grid.entries[task], replications, tick)
