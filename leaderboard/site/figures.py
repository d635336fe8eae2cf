"""Charts of the site: figures of a report in a wide and a narrow version, with a table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from lagbench import scoring
from lagbench.leaderboard.board import Board, Details, Results, Row
from lagbench.leaderboard.site import text

IntervalEstimate = scoring.results.IntervalEstimate
Sheet = scoring.sheets.Sheet
_CSS_INCH = 96
_FAR = 7.0
"""Median absolute deviations from the median; for normal numbers, about Tukey's outer fences."""


@dataclass(frozen=True)
class Figure:
    """A chart. ``wide`` and ``narrow`` are the names of its files, ``width`` is the wide one's in CSS pixels."""

    title: str
    caption: str
    wide: str
    narrow: str
    width: int
    sheet: Sheet
    files: Mapping[str, bytes]


def of_board(board: Board) -> Figure | None:
    """IQM against the axis, or returns by task if not normalised; None if there is nothing to draw."""
    if board.results is None or board.details is None:
        return None
    name = "lag" if board.results.normalized else "tasks"
    far = _far(board.results)
    near = [line.label for line in board.results.lines if line.label not in far]
    return _drawn(board.results, board.details, name, near, "board", _against_axis(board.results))


def of_method(row: Row) -> Figure | None:
    """Scores or returns over training, of rerun and claim."""
    return _drawn(row.results, row.details, "tasks-training", [row.line.label], "training", _curves(row))


def _drawn(
    results: Results, details: Details, name: str, near: Collection[str], file: str, sheet: Sheet
) -> Figure | None:
    forms = {f"{file}.svg": None, f"{file}.narrow.svg": 1}
    pictures = {
        form: picture
        for form, most in forms.items()
        for picture in scoring.plots.pictures(results, details, only=[name], most=most)
    }
    if not pictures:
        return None
    cut, _ = [scoring.plots.canvas.bounded(picture.figure, near) for picture in pictures.values()]
    off = f" Cut off, and whole in the table only: {', '.join(map(text.line, cut))}." if cut else ""
    wide, narrow = pictures
    picture = pictures[wide]
    return Figure(
        title=picture.title,
        caption=f"{picture.caption}{off}",
        wide=wide,
        narrow=narrow,
        width=round(picture.figure.get_figwidth() * _CSS_INCH),
        sheet=sheet,
        files={form: scoring.plots.canvas.written(one.figure, ["svg"])["svg"] for form, one in pictures.items()},
    )


def _far(results: Results) -> set[str]:
    """Labels of the lines with a number so far from the others' that it would stretch the chart."""
    panels: dict[str, list[tuple[str, float]]] = {}
    for line in results.lines:
        for point in line.points:
            found: dict[str, IntervalEstimate | None] = {task.task: task.final for task in point.tasks}
            if results.normalized:
                measures = {"final": point.final, "area": point.area}
                found = {measure: one.iqm if one else None for measure, one in measures.items()}
            for panel, one in found.items():
                if one is not None:
                    panels.setdefault(panel, []).append((line.label, one.value))
    far = set()
    for numbers in panels.values():
        middle = median(x for _, x in numbers)
        room = _FAR * (median(abs(x - middle) for _, x in numbers) or max(abs(middle), 1.0))
        far |= {label for label, x in numbers if abs(x - middle) > room}
    return far


def _against_axis(results: Results) -> Sheet:
    """The numbers in a board's chart."""
    if not results.normalized:
        return next(one for one in scoring.sheets.sheets(results) if one.title.startswith("Final returns"))
    columns, rows = ["method"], []
    for measure in ("final score", "area under the curve"):
        columns += [f"{measure}, {results.axis} {value}" for value in results.values]
    for line in results.lines:
        found = [*(point.final for point in line.points), *(point.area for point in line.points)]
        rows.append((line.label, *(text.interval_estimate(one.iqm if one else None, results.kind) for one in found)))
    return Sheet("The same as a table: IQM", tuple(columns), tuple(rows), ())


def _curves(row: Row) -> Sheet:
    """The numbers in a method's chart."""
    kind = row.results.kind
    rows: list[Sequence[str]] = []
    for line in row.details.lines:
        for point in line.points:
            for task in point.tasks:
                cell = f"{task.task}, {row.results.axis} {point.value}, {line.label}"
                rows.append((cell, *(text.score(one.value, kind) for one in task.curve)))
    columns = ("cell", *(f"{x:.0%}" for x in row.details.fractions))
    return Sheet("The same as a table: means over seeds", columns, tuple(map(tuple, rows)), ())
