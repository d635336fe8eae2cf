"""The tables of a submission's page."""

from __future__ import annotations

from lagbench import scoring
from lagbench.leaderboard import findings
from lagbench.leaderboard.board import Board, Entry, Row
from lagbench.leaderboard.site import text
from lagbench.leaderboard.site.sheet import Cell, Column, Sheet

Estimate = scoring.results.Estimate
Line = scoring.results.Line


def scores(board: Board, entry: Entry) -> Sheet:
    """What is on the board, and what was submitted where that is something else."""
    axis, line, kind = board.suite.axis, entry.line, board.results.kind
    columns = [Column("number"), Column("fresh episodes" if entry.fresh else "submitted episodes", True)]
    columns += [Column("submitted episodes", True)] * entry.fresh
    rows: list[tuple[Cell, ...]] = []

    def add(name: str, found: Cell, submitted: float | None = None) -> None:
        rows.append((Cell(name), found, *([Cell(text.score(submitted, kind))] * entry.fresh)))

    add("lag score", _cell(board, line.lag_score), entry.submitted.lag_score)
    for point, submitted in zip(line.points, entry.submitted.iqm, strict=True):
        add(f"IQM, {axis} {point.value}", _cell(board, iqm(point.final)), submitted)
    retention = Cell("undefined") if line.undefined else _cell(board, line.points[-1].retention)
    add(f"retention, {axis} {board.suite.values[-1]}", retention)
    add("tolerance", Cell(tolerance(line)))
    for point in line.points:
        name = Cell(f"area, {axis} {point.value}", "of reported returns")
        rows.append((name, *([Cell(text.NOTHING)] * entry.fresh), _cell(board, iqm(point.area))))
    return Sheet("Scores", tuple(columns), tuple(rows))


def tasks(board: Board, entry: Entry) -> Sheet:
    """Mean final scores and returns by task."""
    axis = board.suite.axis
    columns = [Column("cell"), Column("mean final return", True)]
    columns += [Column("mean final score", True)] * board.results.normalized
    columns += [Column("mean area, reported returns", True)]
    rows = []
    for t, task in enumerate(board.suite.tasks):
        for point in entry.line.points:
            found = point.tasks[t]
            cells = [
                Cell(f"{task}, {axis} {point.value}"),
                Cell(text.number(None if found.returned is None else found.returned.value)),
            ]
            cells += [_cell(board, found.final)] * board.results.normalized
            rows.append((*cells, _cell(board, found.area) if board.results.normalized else _return(found.area)))
    return Sheet("By task", tuple(columns), tuple(rows))


def validation(entry: Entry) -> Sheet:
    """What came of every check of the files alone."""
    outcomes = entry.validation.outcomes
    rows = tuple(
        (Cell(check.name), _outcome(outcomes[check.name]), Cell(check.about), Cell(check.state))
        for check in findings.CHECKS
    )
    return Sheet("Validation", (Column("check"), Column("outcome"), Column("asks"), Column("for the state")), rows)


def verification(entry: Entry) -> Sheet | None:
    """What came of every check of the report, over all runs; None where there is no report."""
    if entry.verification is None:
        return None
    rows = []
    for name in dict.fromkeys(check.name for check in entry.verification.checks):
        mine = [check for check in entry.verification.checks if check.name == name]
        # The worst is what is said of all.
        outcome = next(one for one in ("failed", "ok", "skipped") if any(check.outcome == one for check in mine))
        of_it = [check for check in mine if check.outcome == outcome]
        said = Cell(text.line(of_it[0].message), f"({of_it[0].run.removeprefix('runs/')})")
        rows.append((Cell(name), _outcome(outcome, f"{len(of_it)} of {len(mine)} runs"), said))
    return Sheet("Verification", (Column("check"), Column("outcome"), Column("found, for example")), tuple(rows))


def iqm(found: scoring.results.Aggregates | None) -> Estimate | None:
    """That of some aggregates, if there are any."""
    return found.iqm if found else None


def tolerance(line: Line) -> str:
    """The tolerance of a line, or that it is undefined."""
    return scoring.sheets.tolerance(line.tolerance, "undefined" if line.undefined else text.NOTHING)


def _outcome(outcome: str, counted: str = "") -> Cell:
    return Cell({"ok": "✓ ok", "failed": "✗ failed", "skipped": "– skipped"}[outcome], counted, outcome == "failed")


def flagged(board: Board, entry: Entry) -> Sheet | None:
    """The cells whose claimed mean is too far from the one on fresh seeds; None where there are none."""
    columns = (
        Column("run"),
        Column("as submitted", True),
        Column("on fresh seeds", True),
        Column("apart, standard errors", True),
    )
    rows = tuple(
        (
            Cell(_named(board, row)),
            Cell(text.number(row.final)),
            Cell(text.number(row.again.mean)),
            Cell(_z(row.again.z), alarm=True),
        )
        for row in entry.rows
        if row.again and row.again.flagged
    )
    return Sheet("Flagged cells", columns, rows) if rows else None


def runs(board: Board, entry: Entry) -> Sheet:
    """Every run, with what its final return is by fresh episodes where there are any."""
    again = any(row.again for row in entry.rows)
    columns = [Column("run"), Column("final, as submitted", True)]
    columns += [Column("on fresh seeds", True), Column("apart, standard errors", True)] * again
    columns += [Column("area, reported", True), Column("updates a phase", True)]
    rows = []
    for row in entry.rows:
        cells = [Cell(_named(board, row))]
        cells += [Cell("diverged", alarm=True) if row.diverged else Cell(text.number(row.final))]
        if again:
            found = row.again
            error = f"± {text.number(found.found.std)}" if found and found.found.std is not None else ""
            cells += [Cell(text.number(found.mean if found else None), error)]
            cells += [Cell(_z(found.z if found else None), alarm=bool(found and found.flagged))]
        cells += [Cell(text.number(row.area)), Cell(text.number(row.updates_made))]
        rows.append(tuple(cells))
    return Sheet("Runs", tuple(columns), tuple(rows))


def _named(board: Board, row: Row) -> str:
    return f"{row.task}, {board.suite.axis} {row.value}, seed {row.seed}"


def _z(found: float | None) -> str:
    return text.NOTHING if found is None else f"{found:+.1f}".replace("-", "−")


def _cell(board: Board, found: Estimate | None) -> Cell:
    kind = board.results.kind
    return Cell(text.NOTHING) if found is None else Cell(text.score(found.value, kind), text.interval(found, kind))


def _return(found: Estimate | None) -> Cell:
    return Cell(text.number(found.value if found else None))
