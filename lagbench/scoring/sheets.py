"""Results as tables of text, for a terminal, LaTeX or a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lagbench.records.curve import with_error
from lagbench.scoring.grid import domain_of
from lagbench.scoring.results import Aggregates, IntervalEstimate, Kind, Line, Point, Results, TaskScore, Tolerance
from lagbench.scoring.significance import LEVEL, apart

NOTHING = "–"
"""Placeholder for a missing number."""
_FORMS: Mapping[Kind, str] = {"score": ".1f", "accuracy": ".3f", "return": ".1f"}
# One of 1,200 questions is 0.0008, and the standard error of an accuracy about 0.01.
DIGITS: Mapping[Kind, int] = {"score": 2, "accuracy": 3, "return": 1}
"""Displayed decimals of a score."""


@dataclass(frozen=True)
class Sheet:
    """A table of text.

    Attributes:
        title: title above it.
        columns: names of the columns.
        rows: rows of as many cells.
        notes: notes below it, on missing values and on the reliability of intervals.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def sheets(results: Results) -> list[Sheet]:
    """All tables of some results.

    Args:
        results: results of ``score.score``.

    Returns:
        Tables, the headline first.
    """
    found = []
    if results.normalized:
        found = [
            _headline(results),
            _aggregates(results, "Final score", lambda point: point.final, ranked=True),
            _aggregates(results, "Area under the curve", lambda point: point.area, ranked=False),
        ]
    found += [_by_task(results, "final"), _by_task(results, "area"), _returns(results)]
    return found + ([_comparisons(results)] if results.comparisons else [])


def _headline(results: Results) -> Sheet:
    axis, first, last = results.axis, results.values[0], results.values[-1]
    lines = sorted(results.lines, key=lambda line: (line.rank or len(results.lines), -_value(line.lag_score)))
    ends = [first, last] if last != first else [first]
    columns = ["algorithm", "rank", "lag score", *(f"IQM at {axis} {value}" for value in ends)]
    if last != first:
        columns += [f"retention at {axis} {last}", "tolerance"]
    ranks = [line.rank for line in lines]
    rows = []
    for line in lines:
        points = [line.points[0], *([line.points[-1]] if last != first else [])]
        cells = [line.label, rank_text(line.rank, ranks), _score(results, line.lag_score)]
        cells += [_score(results, point.final.iqm if point.final else None) for point in points]
        if last != first:
            undefined = "undefined" if line.undefined else NOTHING
            cells += [_score(results, line.points[-1].retention, undefined), tolerance(line.tolerance, undefined)]
        rows.append((*cells, _diverged(line)))
    notes = [
        f"{line.label}: retention and tolerance are undefined, {line.undefined}" for line in lines if line.undefined
    ]
    return Sheet(
        f"Score over {axis}",
        (*columns, "diverged"),
        tuple(rows),
        (*(notes if last != first else ()), _tied(results, ranks), *_sure(results)),
    )


def _aggregates(results: Results, title: str, measure: Callable[[Point], Aggregates | None], *, ranked: bool) -> Sheet:
    rows, notes = [], []
    for line in results.lines:
        for i, point in enumerate(line.points):
            found = measure(point)
            ranks = [other.points[i].rank for other in results.lines]
            four = [found.iqm, found.median, found.mean, found.optimality_gap] if found else [None] * 4
            rank = [rank_text(point.rank, ranks)] if ranked else []
            cells = [*rank, *(_score(results, one) for one in four), _diverged(point)]
            rows.append((line.label, str(point.value), *cells))
            if point.absent:
                notes.append(f"{line.label} at {results.axis} {point.value}: {point.absent}")
    rank = ["rank by IQM"] if ranked else []
    columns = ("algorithm", results.axis, *rank, "IQM", "median", "mean", "optimality gap", "diverged")
    return Sheet(title, columns, tuple(rows), (*notes, *_sure(results)))


def _sure(results: Results) -> list[str]:
    """Notes on the reliability of numbers over all tasks."""
    return [note for note in (results.power_note, results.coverage) if note]


def _by_task(results: Results, measure: str) -> Sheet:
    what = {"final": "Final", "area": "Area under the curve"}[measure]
    kind = "score" if results.normalized else "return"
    rows, notes = [], []
    for line in results.lines:
        for point in line.points:
            cells = []
            for task in point.tasks:
                text = _score(results, getattr(task, measure))
                few = 0 < len(task.seeds) != len(results.seeds)
                cells.append(f"{text} ({len(task.seeds)} seed{'s' * (len(task.seeds) != 1)})" if few else text)
            rows.append((line.label, str(point.value), *cells))
            if point.diverged and not results.normalized:
                notes.append(f"{line.label} at {results.axis} {point.value}: {_diverged(point)} diverged")
    title = f"{what} {kind} by task" if measure == "final" else f"{what} by task"
    return Sheet(
        f"{title}: mean over seeds",
        ("algorithm", results.axis, *results.tasks),
        tuple(rows),
        (*notes, results.coverage_by_task),
    )


def _returns(results: Results) -> Sheet:
    form = _FORMS[results.kind]
    rows = []
    for line in results.lines:
        for point in line.points:
            rows.append((line.label, str(point.value), *(_returned(task, form) for task in point.tasks)))
    modes = domain_of(results.tasks[0]).modes
    notes = [f"Of {modes[results.measure]}; ± is the standard error over seeds."]
    if results.measure != "mode":
        notes.append(f"In brackets: of {modes['mode']}, not used for ranking.")
    return Sheet("Final returns by task", ("algorithm", results.axis, *results.tasks), tuple(rows), tuple(notes))


def _returned(task: TaskScore, form: str) -> str:
    if task.returned is None:
        return NOTHING
    text = with_error(task.returned.value, task.returned.error, form)
    beside = task.mode_returned
    return text if beside is None else f"{text} ({with_error(beside.value, beside.error, form)})"


def _comparisons(results: Results) -> Sheet:
    ends = sorted({0, len(results.values) - 1})
    columns = ["pair"]
    if results.normalized:
        columns += ["lag score", "p", *(f"IQM at {results.axis} {results.values[i]}" for i in ends)]
    columns.append("P(first scores above second)")
    rows = []
    for pair in results.comparisons:
        cells = [f"{pair.first} − {pair.second}"]
        if results.normalized:
            p = NOTHING if pair.p is None else f"{pair.p:.2g}"
            cells += [_signed(results, pair.lag_score, pair.p), p]
            cells += [_signed(results, pair.iqm[i], pair.ps[i]) for i in ends]
        improvement = in_text(pair.improvement, "{:.2f}")
        rows.append((*cells, improvement + " *" * (apart(pair.p) and not results.normalized)))
    corrected = f", with Holm's correction over {results.pairs} pairs" if results.pairs > 1 else ""
    notes = (f"* significant: p ≤ {LEVEL}{corrected}",)
    return Sheet("Differences", tuple(columns), tuple(rows), (*notes, *_sure(results)))


def tolerance(found: Tolerance | None, nothing: str = NOTHING) -> str:
    """A tolerance as text, with ≥ if it is censored.

    Args:
        found: the tolerance.
        nothing: text for None.

    Returns:
        The number, and its interval if any.
    """
    if found is None:
        return nothing

    def one(value: float) -> str:
        return f"≥ {value:.0f}" if value >= found.largest else f"{value:.1f}"

    if found.low is None or found.high is None:
        return one(found.value)
    return f"{one(found.value)} [{one(found.low)}, {one(found.high)}]"


def _score(results: Results, found: IntervalEstimate | None, nothing: str = NOTHING) -> str:
    return in_text(found, f"{{:.{DIGITS[results.kind]}f}}", nothing)


def _signed(results: Results, found: IntervalEstimate | None, p: float | None) -> str:
    return in_text(found, f"{{:+.{DIGITS[results.kind]}f}}") + " *" * apart(p)


def in_text(found: IntervalEstimate | None, form: str, nothing: str = NOTHING) -> str:
    """A number and its interval, if any.

    Args:
        found: the estimate.
        form: format of each number, such as ``{:.2f}``.
        nothing: text for None.

    Returns:
        A text such as ``0.52 [0.41, 0.63]``.
    """
    if found is None:
        return nothing
    if found.low is None or found.high is None:
        return form.format(found.value)
    return f"{form.format(found.value)} [{form.format(found.low)}, {form.format(found.high)}]"


def _value(found: IntervalEstimate | None) -> float:
    return float("-inf") if found is None else found.value


def rank_text(rank: int | None, ranks: Sequence[int | None]) -> str:
    """A rank as a table shows it.

    Args:
        rank: rank of one line; None without one.
        ranks: ranks of all lines.

    Returns:
        The number, with ``=`` if it is shared.
    """
    return NOTHING if rank is None else f"{rank}{'=' * (ranks.count(rank) > 1)}"


def _tied(results: Results, ranks: Sequence[int | None]) -> str:
    tied = any(rank is not None and ranks.count(rank) > 1 for rank in ranks)
    corrected = f", with Holm's correction over {results.pairs} pairs" if results.pairs > 1 else ""
    return f"Rank: 1 + the number of significantly better ones{corrected}" + ("; = is shared." if tied else ".")


def _diverged(found: Line | Point) -> str:
    return f"{found.diverged} of {found.runs}"
