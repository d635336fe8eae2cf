"""``lagbench report``."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

import click

from lagbench.cli.follow import starting
from lagbench.cli.options import json_option, quiet_option, replications_option
from lagbench.cli.output import REPORT_REPLICATIONS
from lagbench.cli.progress import progress
from lagbench.cli.scored import by_option, read, suite_option


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Output directory: new, empty, or with an earlier report, which is replaced.",
)
@by_option
@suite_option
@replications_option(REPORT_REPLICATIONS)
@json_option
@quiet_option
def command(
    runs: tuple[Path, ...],
    out: Path,
    by: tuple[str, ...],
    suite: str | None,
    replications: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """Make figures and tables of runs: directories that contain them, or tables from `lagbench score --table`.

    Writes each figure as PDF, SVG and PNG, and a self-contained page, index.html, to DIR. docs/report.md explains the
    figures.
    """
    began = time.monotonic()
    with starting(quiet):
        from lagbench.scoring import details as detail
        from lagbench.scoring import grid, normalize, plots, report, score
    # Check before computing.
    replaced = report.REPORT.check_free(out)
    scores = normalize.scores(grid.read(read(runs, quiet), by, suite))
    with progress("bootstrap", quiet) as told:
        results = score.score_grid(scores, replications=replications, progress=told)
    with progress("curves", quiet) as told:
        details = detail.details(scores, replications=replications, progress=told)
    line = _line(runs, out, by, suite, replications)
    with progress("figures", quiet) as told:
        content = report.files(results, details, line, told)
    report.write(out, content, line)
    missing = plots.left_out(results, details)
    if not quiet:
        click.echo(f"made in {time.monotonic() - began:.1f} s: {replications:,} replications", err=True)
        if replaced:
            click.echo(f"replaced the earlier report in {out}", err=True)
        for note in results.notes:
            click.echo(f"note: {note}", err=True)
        for reason in missing:
            click.echo(f"left out: {reason}", err=True)
    if as_json:
        document = {"path": str(out), "files": sorted(content), "notes": results.notes, "left_out": missing}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        click.echo(str(out / report.PAGE))


def _line(runs: tuple[Path, ...], out: Path, by: tuple[str, ...], suite: str | None, replications: int) -> str:
    """The command that makes this report, without options that do not affect it."""
    options = [
        *(x for name in by for x in ("--by", name)),
        *(("--suite", suite) if suite else ()),
        "--replications",
        str(replications),
    ]
    return shlex.join(["lagbench", "report", *map(str, runs), "-o", str(out), *options])
