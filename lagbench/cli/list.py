"""``lagbench list``."""

from __future__ import annotations

import json

import click

from lagbench import registry
from lagbench.cli.options import json_option


def _tasks() -> list[dict[str, str]]:
    return [{"task": t, "domain": registry.task_entry(t).domain} for t in registry.task_ids()]


def _algorithms() -> list[dict[str, str]]:
    return [{"algorithm": name, "source": target} for name, target in registry.algorithms().items()]


_KINDS = {"tasks": _tasks, "algorithms": _algorithms}


@click.command()
@click.argument("what", type=click.Choice(list(_KINDS)))
@json_option
def command(what: str, as_json: bool) -> None:
    """List the tasks or the algorithms that can be run."""
    rows = _KINDS[what]()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    width = max((len(next(iter(row.values()))) for row in rows), default=0)
    for row in rows:
        first, *rest = row.values()
        click.echo(f"{first:<{width}}  {'  '.join(rest)}".rstrip())
