"""``lagbench leaderboard serve``."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import click

from lagbench import UsageError, cli
from lagbench.leaderboard.cli import build as building

_PORT = 8000
_REPLICATIONS = 2_000


@click.command()
@click.argument("site", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=_PORT,
    metavar="N",
    help="Port on 127.0.0.1; 0: any free port.",
    show_default=True,
)
@building.submissions_option
@cli.options.quiet_option
def command(site: Path | None, port: int, submissions: Path | None, quiet: bool) -> None:
    """Serve the leaderboard on this machine, until interrupted.

    SITE is a site made by `lagbench leaderboard build -o SITE`. Without it, a temporary site is built in seconds, with
    fewer bootstrap replications.
    """
    if site is not None and submissions is not None:
        raise UsageError("give either SITE or --submissions, not both")
    from lagbench.leaderboard.serve import Server

    with contextlib.ExitStack() as stack:
        if site is None:
            site = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lagbench-"))) / "site"
            building.make(submissions, site, _REPLICATIONS, quiet)
        server = stack.enter_context(Server(site, port))
        click.echo(server.url)
        if not quiet:
            click.echo("interrupt to stop", err=True)
        # Interrupting is the normal end.
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
