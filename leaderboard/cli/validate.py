"""``lagbench leaderboard validate``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from lagbench import cli
from lagbench.leaderboard.cli.sandboxed import sandbox_options


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Also run `lagbench check` on the source, in a sandbox.")
@sandbox_options
@cli.options.json_option
@cli.options.quiet_option
def command(
    paths: tuple[Path, ...], check: bool, sandbox: str | None, trust_source: bool, as_json: bool, quiet: bool
) -> int:
    """Validate submissions without training, and list every problem.

    \b
    lagbench leaderboard validate leaderboard/submissions/mujoco-mini-v1/mine
    lagbench leaderboard validate --check mine/

    Exit code: 0 if all are valid, else 1. With -q only problems are printed.
    """  # noqa: D301 - click takes the character itself
    with cli.follow.starting(quiet or as_json):
        from lagbench.leaderboard import sandbox as sandboxes
        from lagbench.leaderboard import submission, validate

    kept = sandboxes.choose(sandbox, trusted=trust_source) if check else None
    found = []
    for path in paths:
        one = validate.validate(path)
        if kept is not None and one.passed:
            one = replace(one, problems=tuple(validate.check(submission.read(path), kept)))
        found.append(one)
    if as_json:
        click.echo(cli.output.document([one.to_json() for one in found]))
        return 0 if all(one.passed for one in found) else 1
    for one in found:
        for problem in one.problems:
            click.echo(f"{one.path}: {problem}")
        if not quiet:
            n = len(one.problems)
            click.echo(f"{one.path}: " + ("valid" if one.passed else f"not valid, {n} problem{'s' * (n != 1)}"))
    return 0 if all(one.passed for one in found) else 1
