"""``lagbench check``."""

from __future__ import annotations

import json

import click

from lagbench.cli.options import json_option, quiet_option, set_option
from lagbench.cli.output import show_check


@click.command()
@click.argument("algo")
@set_option
@json_option
@quiet_option
@click.pass_context
def command(ctx: click.Context, algo: str, config: tuple[tuple[str, str], ...], as_json: bool, quiet: bool) -> None:
    """Check whether an algorithm, NAME or path/to/file.py:Class, meets the interface's requirements.

    Runs in seconds, on synthetic rollouts of every domain. Exit code: 0 if every check passes, else 1. With -q only
    failed checks are printed.
    """
    from lagbench.check import check

    report = check(algo, config=dict(config))
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        for c in report.checks:
            show_check(c.outcome, f"{c.domain or '':<8}  {c.name}{': ' + c.message if c.message else ''}", quiet)
        if not quiet:
            passed = sum(c.outcome == "ok" for c in report.checks)
            click.echo(f"{report.algorithm}: {passed} of {len(report.checks)} checks passed")
    ctx.exit(0 if report.passed else 1)
