"""Which charts a page has: numbers of a board → panels, each with a legend and the same numbers as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2

from lagbench import scoring
from lagbench.leaderboard.board import Board, Entry, Row
from lagbench.leaderboard.site import colour, text, words
from lagbench.leaderboard.site.plot import LOW, Axes, Line, Panel, Point, extent, panel
from lagbench.leaderboard.site.sheet import Cell, Column, Sheet
from lagbench.leaderboard.site.tables import iqm
from lagbench.leaderboard.traces import COLUMNS, SHARE, Trace

Estimate = scoring.results.Estimate
Style = scoring.plots.style.Style
_FINAL_ROOM = 0.05
DIAGNOSTICS: Mapping[str, tuple[str, str]] = {
    "tv": ("TV(π, β)", "total variation between the policy after a phase's updates and the policies that acted"),
    "ess": ("ESS", "effective sample size of π_T/β before the updates, as a share of the samples"),
    "kl": ("KL(β‖π)", "divergence of the policies that acted from the policy after the updates, in nats"),
}
"""Column of ``phases`` → a short title, and what it is."""
assert set(DIAGNOSTICS) == set(COLUMNS)
MEASURES = {"final": "Final score", "area": "Area under the curve, reported returns"}


@dataclass(frozen=True)
class Figure:
    """Panels under a title, with one legend: ``lines`` are what it names; ``sheet`` has all that is drawn."""

    title: str
    panels: tuple[Panel, ...]
    lines: tuple[Line, ...]
    caption: str
    sheet: Sheet


def against_axis(board: Board, styles: Mapping[str, Style]) -> Figure | None:
    """IQM of the final score and of the area under the curve against lag; None where there is none, or one lag."""
    results = board.results
    if not results.normalized or len(results.values) == 1:
        return None
    panels, lines = [], []
    for measure, title in MEASURES.items():
        lines = [_over_axis(board, entry, measure, styles[entry.slug]) for entry in board.entries]
        about = f"{title} against {board.suite.axis}: IQM of {len(lines)} submissions, all in the table below"
        axes = Axes(title, about, _axis_label(board), _axis_ticks(board), (0.0, 1.0))
        panels.append(panel(axes, lines))
    return Figure(
        title=f"Against {board.suite.axis}",
        panels=tuple(panels),
        lines=tuple(lines),
        caption=f"IQM over tasks and seeds against {_axis_words(board)}; bands are 95% intervals. "
        f"{words.meaning(board)}",
        sheet=_axis_sheet(board),
    )


def training(board: Board, entry: Entry, style: Style) -> list[Figure]:
    """Returns over training, a figure a task with a panel a value of the axis."""
    found = []
    budget = board.suite.budget
    for task in board.suite.tasks:
        mine = [row for row in entry.rows if row.task == task]
        drawn = {
            value: _training_lines([row for row in mine if row.value == value], style) for value in board.suite.values
        }
        shared = tuple(extent([line for lines in drawn.values() for line in lines]))
        ends = (min(0.0, *shared), max(0.0, *shared))
        panels = []
        for value, lines in drawn.items():
            about = f"Return on {task} at {board.suite.axis} {value} over training, a line a seed"
            axes = Axes(f"{board.suite.axis} {value}", about, _budget_label(board), _budget_ticks(budget), ends)
            panels.append(panel(axes, lines))
        again = any(row.again for row in mine)
        what = "fresh seeds, drawn after the submission was fixed" if again else "the final evaluation, as submitted"
        found.append(
            Figure(
                title=task,
                panels=tuple(panels),
                lines=_training_legend(style, again),
                caption="Mean return of each evaluation as reported, a thin line a seed; the markers at the end are "
                f"means on {what}.",
                sheet=_training_sheet(board, mine),
            )
        )
    return found


def diagnostics(board: Board, entry: Entry) -> list[Figure]:
    """What was measured in training, a figure a quantity with a panel a task and a line a value of the axis."""
    names = [name for name in DIAGNOSTICS if any(trace.name == name for trace in entry.traces)]
    names += sorted({trace.name for trace in entry.traces if trace.name.endswith(SHARE)})
    shades = dict(zip(board.suite.values, colour.ramp(len(board.suite.values)), strict=True))
    found = []
    for name in names:
        title, about = DIAGNOSTICS.get(name, (name.replace("_", " "), "share of the samples, as the algorithm logs it"))
        mine = [trace for trace in entry.traces if trace.name == name]
        drawn = {
            task: [_trace_line(board, trace, shades[trace.value]) for trace in mine if trace.task == task]
            for task in board.suite.tasks
        }
        everything = extent([line for lines in drawn.values() for line in lines])
        if not everything:
            continue
        ends = (0.0, 1.0) if name == "ess" else (0.0, max(everything))
        panels = []
        for task, lines in drawn.items():
            said = f"{title} on {task} over training, a line a {board.suite.axis}"
            axes = Axes(task, said, _budget_label(board), _budget_ticks(board.suite.budget), ends, LOW)
            panels.append(panel(axes, lines))
        found.append(
            Figure(
                title=title,
                panels=tuple(panels),
                lines=tuple(_trace_key(board, value, shade) for value, shade in shades.items()),
                caption=f"{about[0].upper()}{about[1:]}. Means over seeds.",
                sheet=_trace_sheet(board, mine),
            )
        )
    return found


def _over_axis(board: Board, entry: Entry, measure: str, style: Style) -> Line:
    name, points = text.line(entry.submission.name), []
    for x, point in zip(_positions(board), entry.line.points, strict=True):
        found: Estimate | None = iqm(getattr(point, measure))
        tip = f"{name}, {board.suite.axis} {point.value}: {text.estimate(found, board.results.kind)}"
        points.append(Point(x, found.value, tip, found.low, found.high) if found else Point(x, None, tip))
    dashes = () if style.line == "solid" else style.line[1]
    return Line(entry.slug, name, style.colour, tuple(points), style.marker, dashes)


def _axis_sheet(board: Board) -> Sheet:
    rows = []
    for entry in board.entries:
        cells = [Cell(text.line(entry.submission.name))]
        for measure in MEASURES:
            for point in entry.line.points:
                cells.append(Cell(text.estimate(iqm(getattr(point, measure)), board.results.kind)))
        rows.append(tuple(cells))
    columns = [Column("submission")]
    for title in MEASURES.values():
        columns += [Column(f"{title.lower()}, {board.suite.axis} {value}", True) for value in board.suite.values]
    return Sheet("The same as a table", tuple(columns), tuple(rows))


def _training_lines(rows: Sequence[Row], style: Style) -> list[Line]:
    lines = []
    for row in rows:
        points = tuple(
            Point(x, y, f"seed {row.seed}, {x:.0%} of the budget: {text.number(y)}")
            for x, y in zip(row.fractions, row.returns, strict=True)
        )
        lines.append(Line(f"seed-{row.seed}", f"seed {row.seed}", style.colour, points, width=1.2, faint=True))
    if rows and all(len(row.returns) == len(rows[0].returns) for row in rows):
        means = [sum(at) / len(rows) for at in zip(*(row.returns for row in rows), strict=True)]
        points = tuple(
            Point(x, y, f"mean of {len(rows)} seeds, {x:.0%} of the budget: {text.number(y)}")
            for x, y in zip(rows[0].fractions, means, strict=True)
        )
        lines.append(Line("mean", "mean", style.colour, points, width=2.6))
    finals = []
    for row in rows:
        if row.again is not None:
            tip = f"seed {row.seed}, {len(row.again.returns)} fresh episodes: {text.number(row.again.mean)}"
            finals.append(Point(1.0 + _FINAL_ROOM, row.again.mean, tip))
        elif row.final is not None:
            finals.append(Point(1.0 + _FINAL_ROOM, row.final, f"seed {row.seed}, final: {text.number(row.final)}"))
    lines.append(Line("final", "final", style.colour, tuple(finals), "D", width=0))
    return lines


def _training_legend(style: Style, again: bool) -> tuple[Line, ...]:
    return (
        Line("mean", "mean over seeds", style.colour, (), width=2.6),
        Line("seeds", "a seed", style.colour, (), width=1.2, faint=True),
        Line("final", "re-evaluated" if again else "final evaluation", style.colour, (), "D", width=0),
    )


def _training_sheet(board: Board, rows: Sequence[Row]) -> Sheet:
    fractions = max((row.fractions for row in rows), key=len, default=())
    columns = [Column("run"), *(Column(f"{x:.0%}", True) for x in fractions)]
    found = []
    for row in rows:
        numbers = [text.number(y) for y in row.returns] + [text.NOTHING] * (len(fractions) - len(row.returns))
        found.append((Cell(f"{board.suite.axis} {row.value}, seed {row.seed}"), *map(Cell, numbers)))
    return Sheet("Reported returns as a table", tuple(columns), tuple(found))


def _trace_line(board: Board, trace: Trace, shade: str) -> Line:
    points = tuple(
        Point(x, y, f"{board.suite.axis} {trace.value}, {x:.0%} of the budget: {text.number(y)}")
        for x, y in zip(trace.fractions, trace.means, strict=True)
    )
    return _trace_key(board, trace.value, shade, points)


def _trace_key(board: Board, value: int, shade: str, points: tuple[Point, ...] = ()) -> Line:
    patterns: list[tuple[float, ...]] = [(), (6.0, 2.0), (3.0, 1.5), (6.0, 1.5, 1.0, 1.5), (1.2, 1.4)]
    dashes = patterns[board.suite.values.index(value) % len(patterns)]
    return Line(f"value-{value}", f"{board.suite.axis} {value}", shade, points, dashes=dashes, width=1.8)


def _trace_sheet(board: Board, traces: Sequence[Trace]) -> Sheet:
    """Of every tenth of the budget, the means of what was measured in it."""
    tenths = 10
    columns = [Column("cell"), *(Column(f"{i / tenths:.0%}–{(i + 1) / tenths:.0%}", True) for i in range(tenths))]
    rows = []
    for trace in traces:
        cells = [Cell(f"{trace.task}, {board.suite.axis} {trace.value}")]
        for i in range(tenths):
            own = [
                y for x, y in zip(trace.fractions, trace.means, strict=True) if min(int(x * tenths), tenths - 1) == i
            ]
            cells.append(Cell(text.number(sum(own) / len(own) if own else None)))
        rows.append(tuple(cells))
    return Sheet("The same as a table, by tenths of the budget", tuple(columns), tuple(rows))


def _positions(board: Board) -> list[float]:
    return [log2(1 + value) if board.suite.axis == "lag" else log2(value) for value in board.suite.values]


def _axis_ticks(board: Board) -> tuple[tuple[float, str], ...]:
    return tuple(zip(_positions(board), map(str, board.suite.values), strict=True))


def _axis_words(board: Board) -> str:
    return "the largest backward lag L, in policy versions" if board.suite.axis == "lag" else "the updates a phase U"


def _axis_label(board: Board) -> str:
    return "lag L (log₂(1 + L) scale)" if board.suite.axis == "lag" else "updates U (log₂ scale)"


def _budget_label(board: Board) -> str:
    return board.suite.domain.budget_unit


def _budget_ticks(budget: int) -> tuple[tuple[float, str], ...]:
    return tuple((i / 4, _amount(budget * i / 4)) for i in range(5))


def _amount(count: float) -> str:
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if count >= unit:
            return f"{count / unit:g}{name}"
    return f"{count:g}"
