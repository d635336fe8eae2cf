"""``lagbench leaderboard submit``."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lagbench import UsageError, cli, suite_names

if TYPE_CHECKING:
    from lagbench.leaderboard.submission import Submission

_TUNING = "How were the hyperparameters chosen: which settings were tried, on which seeds, by what rule?"
_DISCARDED = "Which runs of this suite were discarded or repeated, and why? (none, if none were)"


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--algo", metavar="NAME", help="The algorithm, if RUNS contain several; as named in its runs.")
@click.option(
    "--suite",
    type=cli.options.Name("name", suite_names),
    metavar="SUITE",
    help="The suite, if RUNS contain several.",
)
@click.option("--name", required=True, metavar="TEXT", help="Name shown on the board.")
@click.option("--author", "authors", required=True, multiple=True, metavar="TEXT", help="An author. May be repeated.")
@click.option("--url", required=True, help="https address of the paper or the code.")
@click.option(
    "--license", "licence", required=True, metavar="SPDX", help="License of the submission, such as Apache-2.0."
)
@click.option("--tuning", metavar="TEXT", help="How hyperparameters were chosen.  [default: prompt]")
@click.option("--discarded", metavar="TEXT", help="Which runs were discarded, and why.  [default: prompt]")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A new directory.  [default: derived from the name]",
)
@cli.options.json_option
@cli.options.quiet_option
def command(
    runs: tuple[Path, ...],
    algo: str | None,
    suite: str | None,
    name: str,
    authors: tuple[str, ...],
    url: str,
    licence: str,
    tuning: str | None,
    discarded: str | None,
    out: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Create a submission from RUNS: every cell of a suite, by one algorithm with one set of hyperparameters.

    \b
    lagbench leaderboard submit runs/mine --name Mine --author "A. Body" \\
        --url https://github.com/a/body --license MIT -o mine

    RUNS are directories written by a sweep or by `lagbench compare`. Missing cells are listed before anything is
    written. The submission contains the method's source, its hyperparameters, your statement, and the results of the
    runs. docs/submitting.md describes the process.
    """  # noqa: D301 - click takes the character itself
    quiet = quiet or as_json
    with cli.follow.starting(quiet):
        from lagbench.leaderboard import submission
        from lagbench.leaderboard import submit as making
        from lagbench.leaderboard.submission import Statement

        out = out or Path(submission.slug_of(name))
        making.check_out(out)
    with cli.progress.progress("reading runs", quiet) as told:
        try:
            chosen = making.choose(runs, algo=algo, suite=suite, progress=told)
        except making.Incomplete as incomplete:
            for missing in incomplete.missing:
                click.echo(missing, err=True)
            raise
    # Check what is given before prompting for the rest.
    metadata = making.Metadata(name, authors, url, licence, Statement(tuning=tuning or "…", discarded=discarded or "…"))
    making.check_manifest(making.manifest(chosen, metadata, out.name))
    statement = Statement(
        tuning=_asked("--tuning", tuning, _TUNING), discarded=_asked("--discarded", discarded, _DISCARDED)
    )
    made = making.submit(chosen, replace(metadata, statement=statement), out)
    if as_json:
        click.echo(cli.output.document(_document(made)))
        return 0
    if not quiet:
        about = f"{len(chosen.rows)} runs of {chosen.suite.name}, {made.bytes / 1e3:.0f} kB, SHA-256 {made.sha256}"
        click.echo(about, err=True)
    click.echo(str(made.path))
    return 0


def _asked(option: str, given: str | None, question: str) -> str:
    """The given value, or the answer to a prompt. Raises UsageError if there is no terminal to prompt on."""
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise UsageError(f"a submission needs {option}, and there is no terminal to ask on: {question}")
    answer: str = click.prompt(question, err=True)
    return answer


def _document(made: Submission) -> dict[str, object]:
    return {
        "path": str(made.path),
        "submission": made.sha256,
        "suite": made.manifest.suite.name,
        "name": made.manifest.name,
        "runs": len(made.claim.cells),
        "bytes": made.bytes,
    }
