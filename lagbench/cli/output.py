"""Output of results: tables for people, one document for programs."""

from __future__ import annotations

import io
import json
import sys
from typing import IO, TYPE_CHECKING, Any

import click

from lagbench.records.files import finite

if TYPE_CHECKING:
    from lagbench.scoring.results import Results

REPORT_REPLICATIONS = 50_000
FOR_PUBLICATION = f"; use {REPORT_REPLICATIONS:,} for publication"
# Width if the terminal's is unknown, so that no table is wrapped.
_WIDE = 240
_COLUMNS = (
    "label",
    "against",
    "task",
    "lag",
    "updates",
    "measure",
    "quantity",
    "value",
    "low",
    "high",
    "standard_error",
)


def show_check(outcome: str, text: str, quiet: bool) -> None:
    """Print a line for a check, ``ok``, ``failed`` or ``skipped``; if ``quiet``, only if it failed."""
    label, colour = {"ok": ("ok", "green"), "failed": ("FAIL", "red"), "skipped": ("skip", "yellow")}[outcome]
    if not quiet or outcome == "failed":
        click.echo(f"{click.style(f'{label:<4}', fg=colour)}  {text}")


def document(data: Any) -> str:
    """One JSON document, with null for non-finite numbers."""
    return json.dumps(finite(data), indent=2, ensure_ascii=False)


def csv(results: Results) -> str:
    """All numbers, one line each."""
    import csv

    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(results.records())
    return out.getvalue()


def show(results: Results, file: IO[str] | None = None) -> None:
    """Print what was scored, the notes and all tables to stdout or a file."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from lagbench.scoring.sheets import sheets

    out = file or sys.stdout
    console = Console(file=out, width=None if out.isatty() else _WIDE, highlight=False, markup=False)
    for line in _about(results):
        console.print(line, soft_wrap=True)
    for sheet in sheets(results):
        console.print(f"\n{sheet.title}", style="bold")
        laid_out = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in sheet.columns:
            laid_out.add_column(column, overflow="fold")
        for row in sheet.rows:
            laid_out.add_row(*row)
        console.print(laid_out)
        for note in sheet.notes:
            console.print(note, style="dim", soft_wrap=True)


def _about(results: Results) -> list[str]:
    suite = "runs of no suite" if results.suite is None else f"{results.suite.name} ({results.suite.sha256[:12]}…)"
    values = ", ".join(map(str, results.values))
    few = results.replications < REPORT_REPLICATIONS
    lines = [
        f"{suite}: {', '.join(results.tasks)}; {results.axis} {values}; {len(results.seeds)} seeds",
        f"95% intervals, {results.replications:,} replications of a stratified bootstrap"
        + (f"; publish with --replications {REPORT_REPLICATIONS:,}" if few else ""),
    ]
    return [*lines, *(f"note: {note}" for note in results.notes)]
