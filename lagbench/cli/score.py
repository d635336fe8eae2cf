"""``lagbench score``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lagbench.cli.follow import starting
from lagbench.cli.options import json_option, quiet_option, replications_option
from lagbench.cli.output import FOR_PUBLICATION, csv, document, show
from lagbench.cli.progress import progress
from lagbench.cli.scored import by_option, read, suite_option
from lagbench.errors import UsageError

if TYPE_CHECKING:
    from lagbench.scoring.results import Results

_TERMINAL = 2_000


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@by_option
@suite_option
@replications_option(_TERMINAL, FOR_PUBLICATION)
@click.option(
    "--table", type=click.Path(path_type=Path, dir_okay=False), help="Also write the table of runs to this Arrow file."
)
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print one line per number as CSV.")
@click.option("--latex", "as_latex", is_flag=True, help="Print LaTeX tables.")
@quiet_option
def command(
    runs: tuple[Path, ...],
    by: tuple[str, ...],
    suite: str | None,
    replications: int,
    table: Path | None,
    as_json: bool,
    as_csv: bool,
    as_latex: bool,
    quiet: bool,
) -> None:
    """Score runs: directories that contain them, or tables written with --table.

    IQM, median, mean and optimality gap with 95% intervals by lag, scores by task, lag score, retention, tolerance,
    ranks. docs/scores.md defines the numbers.
    """
    if as_json + as_csv + as_latex > 1:
        raise UsageError("give one of --json, --csv and --latex")
    results = _results(runs, by, suite, replications, table, quiet)
    if as_json:
        click.echo(document(results.to_json()))
    elif as_csv:
        click.echo(csv(results), nl=False)
    elif as_latex:
        from lagbench.scoring.latex import latex
        from lagbench.scoring.sheets import sheets

        click.echo(latex(sheets(results)), nl=False)
    else:
        show(results)
    if (as_csv or as_latex) and not quiet:
        for note in results.notes:
            click.echo(f"note: {note}", err=True)


def _results(
    paths: tuple[Path, ...], by: tuple[str, ...], suite: str | None, replications: int, out: Path | None, quiet: bool
) -> Results:
    began = time.monotonic()
    if out is not None:
        from lagbench.records.files import check_writable

        check_writable(out, "make the table again")
    runs = read(paths, quiet)
    with starting(quiet):
        from lagbench.scoring import score, table
    if out is not None:
        table.to_file(runs, out)
    with progress("bootstrap", quiet) as told:
        results = score.score(runs, by=by, suite=suite, replications=replications, progress=told)
    if not quiet:
        click.echo(f"scored in {time.monotonic() - began:.1f} s: {replications:,} replications", err=True)
    return results
