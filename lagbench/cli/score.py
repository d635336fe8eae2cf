"""``lagbench score``."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lagbench.cli.follow import starting
from lagbench.cli.options import INTEGER, json_option, quiet_option
from lagbench.cli.progress import progress
from lagbench.errors import UsageError
from lagbench.records.files import finite

if TYPE_CHECKING:
    from lagbench.scoring.results import Results

_COLUMNS = ("label", "against", "task", "lag", "updates", "measure", "quantity", "value", "low", "high")
_TERMINAL, _REPORT = 2_000, 50_000
# Where nothing says how wide a line may be, no table is broken.
_WIDE = 240


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--by",
    multiple=True,
    metavar="NAME",
    help="A swept hyperparameter, whose values become rows of their own. May be repeated.",
)
@click.option(
    "--replications",
    type=INTEGER,
    default=_TERMINAL,
    metavar="N",
    help=f"Of the bootstrap behind the intervals; {_REPORT:,} for what is published.",
    show_default=True,
)
@click.option("-j", "--jobs", type=click.IntRange(min=1), default=1, metavar="N", help="Processes.", show_default=True)
@click.option(
    "--table", type=click.Path(path_type=Path, dir_okay=False), help="Also write the table of runs, an Arrow file."
)
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="One line a number on stdout.")
@click.option("--latex", "as_latex", is_flag=True, help="Tables for LaTeX on stdout.")
@quiet_option
def command(
    runs: tuple[Path, ...],
    by: tuple[str, ...],
    replications: int,
    jobs: int,
    table: Path | None,
    as_json: bool,
    as_csv: bool,
    as_latex: bool,
    quiet: bool,
) -> None:
    """Score runs: directories that hold them, or tables of them made with --table.

    IQM, median, mean and optimality gap with 95% intervals by lag, scores by task, lag score, retention, tolerance,
    ranks. docs/scores.md says what the numbers mean.
    """
    if as_json + as_csv + as_latex > 1:
        raise UsageError("give one of --json, --csv and --latex")
    if replications < 1:
        raise UsageError(f"--replications must be at least 1, not {replications}")
    results = _results(runs, by, replications, jobs, table, quiet)
    if as_json:
        click.echo(json.dumps(finite(results.to_json()), indent=2, ensure_ascii=False))
    elif as_csv:
        click.echo(_csv(results), nl=False)
    elif as_latex:
        from lagbench.scoring.latex import latex
        from lagbench.scoring.sheets import sheets

        click.echo(latex(sheets(results)), nl=False)
    else:
        _show(results)
    if (as_csv or as_latex) and not quiet:
        for note in results.notes:
            click.echo(f"note: {note}", err=True)


def _results(
    paths: tuple[Path, ...], by: tuple[str, ...], replications: int, jobs: int, out: Path | None, quiet: bool
) -> Results:
    """From the cache where nothing changed."""
    from lagbench.scoring import cache
    from lagbench.scoring.find import find_runs

    began = time.monotonic()
    tables = [path for path in paths if path.is_file()]
    directories = [path for path in paths if not path.is_file()]
    runs = find_runs(directories) if directories else []
    name = cache.key(runs, tables, {"by": by, "replications": replications})
    results = cache.load(name) if out is None else None
    if results is None:
        with starting(quiet):
            from lagbench.scoring import score, table
        parts = [table.from_file(file) for file in tables]
        if directories:
            with progress("reading runs", quiet) as told:
                parts.append(table.collect(directories, told))
        everything = table.concat(parts)
        if out is not None:
            table.to_file(everything, out)
        with progress("bootstrap", quiet) as told:
            results = score.score(everything, by=by, replications=replications, jobs=jobs, progress=told)
        cache.save(name, results)
        how = f"{replications:,} replications"
    else:
        how = "nothing changed since it was last scored"
    if not quiet:
        click.echo(f"scored in {time.monotonic() - began:.1f} s: {how}", err=True)
    return results


def _csv(results: Results) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(results.records())
    return out.getvalue()


def _show(results: Results) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from lagbench.scoring.sheets import sheets

    console = Console(width=None if sys.stdout.isatty() else _WIDE, highlight=False, markup=False)
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
    lines = [
        f"{suite}: {', '.join(results.tasks)}; {results.axis} {values}; {len(results.seeds)} seeds",
        f"95% intervals, {results.replications:,} replications of a stratified bootstrap"
        + (f"; publish with --replications {_REPORT:,}" if results.replications < _REPORT else ""),
    ]
    return [*lines, *(f"note: {note}" for note in results.notes)]
