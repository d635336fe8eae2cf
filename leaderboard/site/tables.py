"""Tables of a method's page."""

from __future__ import annotations

from collections.abc import Container, Sequence

from lagbench import scoring
from lagbench.leaderboard.board import Board, Row
from lagbench.leaderboard.site import text

Sheet = scoring.sheets.Sheet
_RANK = "rank"


def scores(row: Row) -> list[Sheet]:
    """Numbers of rerun and claim, without ranks, which only a board has, and without notes that the page shows once."""
    measured = scoring.measured.sheet(row.results, row.details)
    found = [*scoring.sheets.sheets(row.results), *([measured] if measured else [])]
    said = {row.results.power_note, row.results.coverage}
    return [_unranked(sheet, said) for sheet in found]


def _unranked(sheet: Sheet, said: Container[str]) -> Sheet:
    kept = [i for i, column in enumerate(sheet.columns) if not column.startswith(_RANK)]

    def of(row: Sequence[str]) -> tuple[str, ...]:
        return tuple(row[i] for i in kept)

    notes = tuple(note for note in sheet.notes if note not in said and not note.lower().startswith(_RANK))
    return Sheet(sheet.title, of(sheet.columns), tuple(map(of, sheet.rows)), notes)


def lag(board: Board, row: Row) -> Sheet | None:
    """Measured TV(π_T, β) at each value of the axis, beside the others'; None if nothing was measured."""
    axis = board.suite.axis
    rows = []
    for value, tv in row.tv.items():
        others = [other.tv[value] for other in board.ranked if other.head != row.head and value in other.tv]
        rows.append(
            (
                f"{axis} {value}",
                text.number(tv),
                f"{text.number(min(others))} to {text.number(max(others))}" if others else text.NOTHING,
                "lag may be switched off" if value in row.without_lag else "",
            )
        )
    columns = (axis, "TV(π_T, β)", "the others'", "flag")
    return Sheet("Measured lag", columns, tuple(rows), ()) if rows else None


def agreement(row: Row) -> Sheet | None:
    """The claim against the rerun, cell by cell; None unless both exist."""
    if row.agreement is None:
        return None
    rows = [
        (
            f"{one.task}, {row.results.axis} {one.value}",
            text.number(one.claimed),
            text.number(one.found),
            f"{one.p:.2g}",
            "differs" if one.apart else "",
        )
        for one in row.agreement.cells
    ]
    if row.agreement.lag_score is not None:
        found = [line.lag_score for line in row.results.lines]
        claimed, rerun = (text.score(one.value if one else None, row.results.kind) for one in reversed(found))
        p = row.agreement.lag_score
        differs = "differs" if scoring.significance.apart(p) else ""
        rows.insert(0, (_compared(row), claimed, rerun, f"{p:.2g}", differs))
    return Sheet("Claim against rerun", ("cell", "claimed", "rerun", "p", "verdict"), tuple(rows), ())


def _compared(row: Row) -> str:
    return "lag score" if row.results.normalized else "probability of improvement"
