"""``lagbench leaderboard build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lagbench import UsageError, cli
from lagbench.leaderboard.site import SITE

if TYPE_CHECKING:
    from lagbench.leaderboard.board import Board


def submissions_option(function: click.decorators.FC) -> click.decorators.FC:
    """``--submissions``."""
    return click.option(
        "--submissions",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Directory of submissions, with one directory per suite, and in it one per submission; reruns/ is next "
        "to it. "
        "[default: those of the checkout]",
    )(function)


@click.command()
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Output directory: new, empty, or with an earlier site, which is replaced.",
)
@submissions_option
@cli.options.replications_option(cli.output.REPORT_REPLICATIONS)
@cli.options.json_option
@cli.options.quiet_option
def command(out: Path, submissions: Path | None, replications: int, as_json: bool, quiet: bool) -> None:
    """Build the leaderboard as a static site: ranked baselines and reruns, and unranked claims.

    Validates every submission and computes every number. The site needs no network, and the same files give the same
    bytes.
    """
    quiet = quiet or as_json
    # Check before computing.
    replaced = SITE.check_free(out)
    boards = make(submissions, out, replications, quiet)
    if as_json:
        counts = {board.suite.name: {"ranked": len(board.ranked), "claims": len(board.claims)} for board in boards}
        files = sorted(SITE.files(out) or {})
        click.echo(cli.output.document({"path": str(out), "rows": counts, "files": files}))
        return
    click.echo(str(out / "index.html"))
    if quiet:
        return
    if replaced:
        click.echo(f"replaced the earlier site in {out}", err=True)
    for board in boards:
        click.echo(f"{board.suite.name}: {len(board.ranked)} ranked, {len(board.claims)} claimed", err=True)


def make(submissions: Path | None, out: Path, replications: int, quiet: bool) -> list[Board]:
    """Build the site with the boards of all suites. Raises UsageError if the directory ``submissions`` is missing."""
    if submissions is not None and not submissions.is_dir():
        raise UsageError(f"there is no directory {submissions}; give the directory of submissions with --submissions")
    with cli.follow.starting(quiet):
        from lagbench import load_suite
        from lagbench.leaderboard import board, methods
        from lagbench.leaderboard.site import build
    boards = []
    where = submissions or methods.SUBMISSIONS
    for suite in map(load_suite, methods.suites(where)):
        found = methods.find(suite, where)
        with cli.progress.progress(f"scoring {suite.name}", quiet) as told:
            boards.append(board.board(suite, found, replications=replications, progress=told))
    boards.sort(key=lambda board: not board.rows)
    with cli.progress.progress("pages", quiet) as told:
        build.build(boards, out, told)
    return boards
