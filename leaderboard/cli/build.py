"""``lagbench leaderboard build``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lagbench import UsageError, cli, records
from lagbench.leaderboard.site import directory

if TYPE_CHECKING:
    from lagbench.leaderboard.board import Board


def submissions_option(function: click.decorators.FC) -> click.decorators.FC:
    """``--submissions``."""
    return click.option(
        "--submissions",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Of submissions: a directory a suite, and in it one a submission.  [default: those of the checkout]",
    )(function)


@click.command()
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="For the site: a directory that is empty, not there yet, or holds a site of before.",
)
@submissions_option
@click.option(
    "--replications",
    type=cli.options.INTEGER,
    default=cli.output.REPORT_REPLICATIONS,
    metavar="N",
    help="Of the bootstrap behind the intervals.",
    show_default=True,
)
@cli.options.json_option
@cli.options.quiet_option
def command(out: Path, submissions: Path | None, replications: int, as_json: bool, quiet: bool) -> None:
    """Build the board of all submissions as a static site.

    Every submission is validated, every number computed. The site needs no network, and the same submissions give the
    same bytes.
    """
    quiet = quiet or as_json
    if replications < 1:
        raise UsageError(f"--replications must be at least 1, not {replications}")
    # Before anything is computed.
    replaced = directory.check_free(out)
    records.files.check_writable(out.resolve(), "build the site again")
    boards = make(submissions, out, replications, quiet)
    if as_json:
        counts = {board.suite.name: len(board.entries) for board in boards}
        files = sorted(directory.read_manifest(out) or {})
        click.echo(cli.output.document({"path": str(out), "submissions": counts, "files": files}))
        return
    click.echo(str(out / "index.html"))
    if quiet:
        return
    if replaced:
        click.echo(f"the site that was in {out} is replaced", err=True)
    for board in boards:
        several = "s" * (len(board.entries) != 1)
        click.echo(f"{board.suite.name}: {len(board.entries)} submission{several}", err=True)


def make(
    submissions: Path | None, out: Path, replications: int, quiet: bool, *, published: bool = False
) -> list[Board]:
    """Build the site of all boards that there are submissions for; with ``published`` from the numbers of before.

    Those of a board whose submissions are others than were published are computed then too, and stderr says so.
    """
    with cli.follow.starting(quiet):
        from lagbench.leaderboard import board
        from lagbench.leaderboard.site import build
    boards = []
    for suite, paths in board.find(submissions or board.SUBMISSIONS).items():
        with cli.progress.progress(f"validating {suite}", quiet) as told:
            checked = board.check(suite, paths, told)
        known = board.published(suite, checked) if published else None
        if published and known is None:
            click.echo(
                f"{suite}: the submissions are not those of the published numbers, and these are of {replications:,} "
                "replications; for more: lagbench leaderboard build",
                err=True,
            )
        with cli.progress.progress(f"bootstrap of {suite}", quiet) as told:
            boards.append(board.board(suite, checked, replications=replications, progress=told, results=known))
    with cli.progress.progress("archives", quiet) as told:
        build.build(boards, out, told)
    return boards
