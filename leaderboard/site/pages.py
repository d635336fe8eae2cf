"""Render boards as the files of the site: pages, charts and data."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import jinja2
import msgspec
import pyarrow as pa

from lagbench import cli, scoring
from lagbench.leaderboard.board import Board, Results, Row
from lagbench.leaderboard.site import POLICY, explanations, figures, tables, text

_SHOWN_AUTHORS = 3
RESULTS, RUNS = "results", "runs.arrow"
"""Base name of the files with a method's numbers, and the file with its runs."""


def files(
    boards: Sequence[Board], progress: Callable[[int, int], object] = lambda done, total: None
) -> dict[str, bytes]:
    """Path → content of all files of the site except the static ones.

    ``progress`` is called with the number of pages drawn and in total.
    """
    environment = _environment()
    total = 1 + sum(len(board.rows) for board in boards)
    found: dict[str, bytes] = {}
    views = []
    for board in boards:
        figure = figures.of_board(board)
        if board.rows:
            found |= _beside(board.suite.name, figure, board.to_json(), board.results)
        views.append(_suite(board, figure))
    page = environment.get_template("index.html.j2").render(
        root="", suites=views, meanings=list(explanations.MEANINGS.items())
    )
    found["index.html"] = page.encode()
    done = 1
    for board in boards:
        for row in board.rows:
            progress(done, total)
            directory = f"{board.suite.name}/{row.method.key}"
            figure = figures.of_method(row)
            found |= _beside(directory, figure, {**row.to_json(), "results": row.results.to_json()}, row.results)
            found[f"{directory}/{RUNS}"] = _runs(row)
            view = _method(board, row, figure)
            found[page_of(board, row)] = (
                environment.get_template("method.html.j2").render(root="../../", **view).encode()
            )
            done += 1
    progress(total, total)
    return found


def page_of(board: Board, row: Row) -> str:
    """The path of a method's page."""
    return f"{board.suite.name}/{row.method.key}/index.html"


def _beside(
    directory: str, figure: figures.Figure | None, document: Mapping[str, Any], results: Results | None
) -> dict[str, bytes]:
    found = {} if figure is None else dict(figure.files)
    found[f"{RESULTS}.json"] = f"{cli.output.document(document)}\n".encode()
    if results is not None:
        found[f"{RESULTS}.csv"] = cli.output.csv(results).encode()
    return {f"{directory}/{name}": content for name, content in found.items()}


def _runs(row: Row) -> bytes:
    """The runs behind a method's numbers, the maintainers' or else the claimed ones, one row per run."""
    table = row.method.runs
    if table is None:
        assert row.method.submission is not None
        table = pa.Table.from_pylist([msgspec.structs.asdict(cell) for cell in row.method.submission.claim.cells])
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


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
        "cell": text.cell,
        "is_numeric": text.is_numeric,
        "link": text.link,
        "score": text.score,
        "number": text.number,
        "interval": text.interval,
    }
    environment.filters.update(filters)
    environment.globals.update(policy=POLICY, version=version("lagbench"), states=explanations.STATES)
    return environment


def _suite(board: Board, figure: figures.Figure | None) -> dict[str, Any]:
    """Template variables of a board on the index page."""
    suite, results = board.suite, board.results
    ends = sorted({0, len(suite.values) - 1})
    columns = [
        ("method", "text", "who"),
        ("lag score", "number", "headline"),
        *((f"IQM, {suite.axis} {suite.values[i]}", "number", "number") for i in ends),
        ("tolerance", "number", "number tolerance"),
        ("state", "text", "state"),
    ]
    kinds = [{"title": title, "sort": sort, "css": css} for title, sort, css in columns]
    return {
        "name": suite.name,
        "about": suite.about,
        "facts": explanations.facts(board),
        "columns": kinds,
        "ranked": [_listed(board, row, ends) for row in board.ranked],
        "claims": [_listed(board, row, ends) for row in sorted(board.claims, key=lambda row: row.method.key)],
        "notes": [*results.notes, results.power_note, results.coverage] if results else [],
        "empty": explanations.empty(board),
        "figure": figure,
        "tables": scoring.sheets.sheets(results) if results else [],
    }


def _listed(board: Board, row: Row, ends: Sequence[int]) -> dict[str, Any]:
    """Template variables of a row on the index page."""
    submission, line, kind = row.method.submission, row.line, row.results.kind
    authors = submission.manifest.authors if submission else ()
    state = explanations.state(row)
    return {
        "key": row.method.key,
        "name": row.method.name,
        "page": page_of(board, row),
        "authors": authors[:_SHOWN_AUTHORS],
        "more_authors": len(authors[_SHOWN_AUTHORS:]),
        "rank": scoring.sheets.rank_text(row.rank, [other.rank for other in board.ranked]),
        "place": row.rank,
        "score": (line.lag_score, kind),
        "iqm": [_at(board, row, i) for i in ends],
        "tolerance": scoring.sheets.tolerance(line.tolerance, "undefined" if line.undefined else text.NOTHING),
        "tolerated": line.tolerance and line.tolerance.value,
        "state": state,
        "warnings": explanations.warnings(board, row),
        "same": row.head if row.head != row.method.key and not row.by_claim else "",
        "words": text.line(" ".join([row.method.key, row.method.name, *authors, row.method.algorithm, state])).lower(),
    }


def _at(board: Board, row: Row, i: int) -> dict[str, Any]:
    value, found = board.suite.values[i], row.line.points[i].final
    return {
        "name": f"{board.suite.axis} {value}",
        "found": found and found.iqm,
        "kind": row.results.kind,
        "tv": row.tv.get(value),
        "low": value in row.without_lag,
    }


def _method(board: Board, row: Row, figure: figures.Figure | None) -> dict[str, Any]:
    """Template variables of a method's page."""
    submission = row.method.submission
    state = explanations.state(row)
    config = submission.manifest.config if submission else row.line.config
    return {
        "board": board,
        "row": row,
        "method": row.method,
        "manifest": submission and submission.manifest,
        "state": state,
        "rank": scoring.sheets.rank_text(row.rank, [other.rank for other in board.ranked]),
        "count": len(board.ranked),
        "warnings": explanations.warnings(board, row),
        "notes": explanations.notes(board, row),
        "lag": tables.lag(board, row),
        "agreement": tables.agreement(row),
        "scores": tables.scores(row),
        "config": [(name, _value(value)) for name, value in config.items()],
        "figure": figure,
    }


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
