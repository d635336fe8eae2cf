"""Boards → the pages of the site."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import jinja2

from lagbench import scoring
from lagbench.leaderboard import agreement, states
from lagbench.leaderboard.board import Board, Entry
from lagbench.leaderboard.site import colour, figures, plot, tables, text, words
from lagbench.leaderboard.site.policy import POLICY

Estimate = scoring.results.Estimate
Styles = Mapping[str, scoring.plots.style.Style]
_SHOWN_AUTHORS = 3


@dataclass(frozen=True)
class Archive:
    """The archive of a submission, as it was written."""

    bytes: int
    sha256: str


Archives = Mapping[tuple[str, str], Archive]
"""By suite and slug."""


def pages(boards: Sequence[Board], archives: Archives) -> dict[str, bytes]:
    """Path → content of all pages, and of the numbers beside them."""
    environment = _environment()
    styles = {board.suite.name: _styles(board) for board in boards}
    views = [_suite(board, styles[board.suite.name]) for board in boards]
    found = {
        "index.html": environment.get_template("index.html.j2").render(
            root="", suites=views, meanings=list(words.MEANINGS.items())
        )
    }
    for board in boards:
        for entry in board.entries:
            found[page_of(board, entry)] = environment.get_template("submission.html.j2").render(
                root="../",
                **_submission(board, entry, styles[board.suite.name], archives[board.suite.name, entry.slug]),
            )
        found[f"{board.suite.name}/board.json"] = document(board)
    return {path: content.encode() for path, content in found.items()}


def document(board: Board) -> str:
    """The numbers of a board, as they are published: in the site and in ``boards/``."""
    return json.dumps(board.to_json(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def page_of(board: Board, entry: Entry) -> str:
    """The path of a submission's page."""
    return f"{board.suite.name}/{entry.slug}.html"


def colours(boards: Sequence[Board]) -> str:
    """The style sheet's rules of all colours that pages use."""
    used = {style.colour for board in boards for style in _styles(board).values()}
    return colour.rules(used.union(*(colour.ramp(len(board.suite.values)) for board in boards)))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lagbench.leaderboard", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "line": text.line,
        "plain": text.plain,
        "link": text.link,
        "score": text.score,
        "number": text.number,
        "interval": text.interval,
        "size": text.size,
        "colour_class": colour.name,
        "swatch": plot.swatch,
        "dashes": plot.dashes,
    }
    environment.filters.update(filters)
    environment.globals.update(policy=POLICY, version=version("lagbench"), states=states.LEVELS)
    return environment


def _styles(board: Board) -> Styles:
    return scoring.plots.style.styles([(entry.slug, entry.slug) for entry in board.entries])


def _suite(board: Board, styles: Styles) -> dict[str, Any]:
    """A board for the index."""
    suite, results = board.suite, board.results
    ends = sorted({0, len(suite.values) - 1})
    ranks = [entry.line.rank for entry in board.entries]
    columns = [
        ("rank", "rank", "rank"),
        ("submission", "text", "who"),
        ("lag score", "number", "headline"),
        *((f"IQM, {suite.axis} {suite.values[i]}", "number", "number") for i in ends),
        ("tolerance", "number", "number"),
        ("state", "number", "state"),
    ]
    whiskers = _whiskers([entry.line.lag_score for entry in board.entries])
    rows = []
    for entry, whisker in zip(board.entries, whiskers, strict=True):
        rows.append(
            {
                "entry": entry,
                "line": entry.line,
                "page": page_of(board, entry),
                "rank": text.rank(entry.line.rank, ranks),
                "whisker": whisker,
                "iqm": [(f"{suite.axis} {suite.values[i]}", tables.iqm(entry.line.points[i].final)) for i in ends],
                "tolerance": tables.tolerance(entry.line),
                "basis": words.basis(entry),
                "words": _words(entry),
                "shown_authors": _SHOWN_AUTHORS,
            }
        )
    shown = figures.against_axis(board, styles)
    return {
        "name": suite.name,
        "about": suite.about,
        "axis": suite.axis,
        "kind": results.kind,
        "facts": words.facts(board),
        "columns": [{"title": title, "sort": sort, "css": css} for title, sort, css in columns],
        "rows": rows,
        "notes": [*results.notes, results.coverage, words.meaning(board)],
        "figure": shown,
        "links": {entry.slug: page_of(board, entry) for entry in board.entries},
    }


def _words(entry: Entry) -> str:
    """What a search looks in."""
    one = entry.submission
    parts = [entry.slug, one.name, *one.authors, one.algorithm.name, one.license, entry.state.name]
    return text.line(" ".join(parts)).lower()


def _whiskers(found: Sequence[Estimate | None]) -> list[dict[str, str] | None]:
    """Estimates as places from 0 to 100, on one scale that has 0 on it."""
    ends = [x for one in found if one for x in (one.value, one.low, one.high) if x is not None]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    if low == high:
        return [None] * len(found)

    def place(value: float) -> str:
        return f"{100 * (value - low) / (high - low):.2f}"

    return [
        None
        if one is None
        else {
            "zero": place(0.0),
            "value": place(one.value),
            "low": place(one.value if one.low is None else one.low),
            "high": place(one.value if one.high is None else one.high),
        }
        for one in found
    ]


def _submission(board: Board, entry: Entry, styles: Styles, archive: Archive) -> dict[str, Any]:
    """A submission for its page."""
    style = styles[entry.slug]
    traced = figures.diagnostics(board, entry)
    again = [row for row in entry.rows if row.again is not None]
    sections = {
        "scores": "Scores",
        "statement": "Statement",
        "configuration": "Configuration",
        "training": "Over training",
        **({"diagnostics": "Diagnostics"} if traced else {}),
        "checks": "Checks",
        "runs": "Runs",
        "data": "Data",
    }
    return {
        "board": board,
        "entry": entry,
        "submission": entry.submission,
        "archive": archive,
        "sections": list(sections.items()),
        "rank": text.rank(entry.line.rank, [other.line.rank for other in board.entries]),
        "meaning": words.meaning(board),
        "stands_on": words.stands_on(entry),
        "scores": tables.scores(board, entry),
        "tasks": tables.tasks(board, entry),
        "notes": words.notes(board, entry),
        "config": [(name, _value(value)) for name, value in entry.submission.config.items()],
        "training": figures.training(board, entry, style),
        "diagnostics": traced,
        "measured": len(again),
        "flagged": tables.flagged(board, entry),
        "limit": f"{agreement.LIMIT:g}",
        "expected": f"{entry.verification.flagged_by_chance:.1f}" if entry.verification else "",
        "validation": tables.validation(entry),
        "verification": tables.verification(entry),
        "runs": tables.runs(board, entry),
    }


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
