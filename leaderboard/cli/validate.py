"""``lagbench leaderboard validate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lagbench import cli

if TYPE_CHECKING:
    from lagbench.leaderboard.validate import Validation


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@cli.options.json_option
@cli.options.quiet_option
def command(paths: tuple[Path, ...], as_json: bool, quiet: bool) -> int:
    """Check submissions without running anything of them, and list every problem with file and row.

    \b
    lagbench leaderboard validate leaderboard/submissions/mujoco-mini-v0/mine

    Exit code 0 where all of them are valid, else 1. With -q only the problems.
    """  # noqa: D301 - click takes the character itself
    with cli.follow.starting(quiet or as_json):
        from lagbench.leaderboard.validate import validate
    found = [validate(path) for path in paths]
    if as_json:
        click.echo(cli.output.document([one.to_json() for one in found]))
    else:
        for one in found:
            _show(one, quiet)
    return 0 if all(one.passed for one in found) else 1


def _show(found: Validation, quiet: bool) -> None:
    for problem in found.problems:
        click.echo(f"{found.path}: {problem}")
    if skipped := sorted(name for name, outcome in found.outcomes.items() if outcome == "skipped"):
        click.echo(f"{found.path}: not checked, for what is wrong before: {', '.join(skipped)}")
    if quiet:
        return
    if found.passed:
        click.echo(f"{found.path}: valid")
    else:
        n = len(found.problems)
        click.echo(f"{found.path}: not valid, {n:,} problem{'s' * (n != 1)}")
