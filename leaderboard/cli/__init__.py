"""The commands ``lagbench compare`` and ``lagbench leaderboard …``: one module each, loaded on use."""

from __future__ import annotations

import click

from lagbench import cli

_COMMANDS = {
    name: f"lagbench.leaderboard.cli.{name}:command" for name in ("submit", "validate", "rerun", "build", "serve")
}


@click.group(cls=cli.group.LazyGroup, commands=lambda: _COMMANDS, invoke_without_command=True)
@click.pass_context
def group(ctx: click.Context) -> None:
    """Submit a method, validate it, rerun it, build the leaderboard.

    \b
    lagbench leaderboard submit runs/mine --algo mine.py:Mine --name Mine …
    lagbench leaderboard validate mine/
    lagbench leaderboard rerun mine/

    docs/submitting.md describes the whole process.
    """  # noqa: D301 - click takes the character itself
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
