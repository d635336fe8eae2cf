"""From the runs of submissions to the numbers of a board."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lagbench import scoring
from lagbench.leaderboard import published

Line = scoring.results.Line
Results = scoring.results.Results
Grid = scoring.grid.Grid
Progress = Callable[[int, int], object]
Rated = tuple[str, Any, Mapping[str, float] | None]
"""A submission: its slug, the table of its runs as submitted, and final returns of fresh episodes by run, if any."""
_END = 1.0


@dataclass(frozen=True)
class Submitted:
    """What the submitted episodes come to: lag score, and IQM by value of the axis; None where there is none."""

    lag_score: float | None
    iqm: tuple[float | None, ...]


@dataclass(frozen=True)
class Ratings:
    """The numbers of a board.

    Attributes:
        results: of all submissions together, a line each, by its slug: final scores by fresh returns where there are
            any, areas by the returns of evaluations as they were submitted.
        submitted: slug → final scores by what was submitted.
    """

    results: Results
    submitted: Mapping[str, Submitted]

    def line(self, slug: str) -> Line:
        """Of a submission, in ``results``."""
        (found,) = [line for line in self.results.lines if line.label == slug]
        return found


def rate(
    submissions: Sequence[Rated],
    *,
    replications: int,
    progress: Progress = lambda done, total: None,
    results: Results | None = None,
) -> Ratings:
    """The numbers of a board; see ``scoring.score.score``. Of ``results`` that are known already, none is computed."""
    table = scoring.table.concat(
        [published.replace(table, "algorithm", [slug] * len(table)) for slug, table, _ in submissions]
    )
    grid = scoring.grid.read(table)
    fresh = {slug: finals for slug, _, finals in submissions if finals is not None}
    results = results or _score(_ending_in(grid, table, fresh), replications, progress)
    # Values alone, which hang on no bootstrap.
    submitted = _score(grid, 1, lambda done, total: None)
    return Ratings(results, {line.label: _values(line) for line in submitted.lines})


def _ending_in(grid: Grid, table: Any, fresh: Mapping[str, Mapping[str, float]]) -> Grid:
    """A grid with one more evaluation at the end of the budget: the fresh one where there is one, else the last again.

    So final scores are by the fresh one, and areas, of which an interval of no width is no part, as they were.
    """
    finals = {
        (row["algorithm"], row[grid.axis], row["task"], row["seed"]): fresh[row["algorithm"]][row["path"]]
        for row in table.to_pylist(maps_as_pydicts=None)
        if row["algorithm"] in fresh and row["status"] == "completed"
    }
    entries = []
    for entry in grid.entries:
        runs = {
            (value, task): tuple(
                # One that diverged stays as short as it is.
                run
                if run.diverged
                else replace(
                    run, returns=(*run.returns, finals.get((entry.label, value, task, run.seed), run.returns[-1]))
                )
                for run in own
            )
            for (value, task), own in entry.runs.items()
        }
        entries.append(replace(entry, runs=runs))
    return replace(grid, entries=tuple(entries), fractions=(*grid.fractions, _END))


def _score(grid: Grid, replications: int, progress: Progress) -> Results:
    return scoring.score.score_grid(scoring.normalize.scores(grid), replications=replications, progress=progress)


def _values(line: Line) -> Submitted:
    return Submitted(
        lag_score=line.lag_score.value if line.lag_score else None,
        iqm=tuple(point.final.iqm.value if point.final else None for point in line.points),
    )
