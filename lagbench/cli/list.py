"""``lagbench list``."""

from __future__ import annotations

import importlib.resources
import json

import click

from lagbench import registry
from lagbench.cli.options import OneOf, json_option


def _tasks() -> list[dict[str, str]]:
    return [{"task": t, "domain": registry.task_entry(t).domain} for t in registry.task_ids()]


def _algorithms() -> list[dict[str, str]]:
    return [{"algorithm": name, "source": target} for name, target in registry.algorithms().items()]


def _suites() -> list[dict[str, str]]:
    directory = importlib.resources.files("lagbench").joinpath("suites")
    names = sorted(file.name for file in directory.iterdir()) if directory.is_dir() else []
    return [{"suite": name.removesuffix(".toml")} for name in names if name.endswith(".toml")]


_KINDS = {"tasks": _tasks, "algorithms": _algorithms, "suites": _suites}


@click.command()
@click.argument("what", type=OneOf(list(_KINDS)))
@json_option
def command(what: str, as_json: bool) -> None:
    """List the tasks, algorithms or suites that there are."""
    rows = _KINDS[what]()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        click.echo(f"no {what}")
    width = max((len(next(iter(row.values()))) for row in rows), default=0)
    for row in rows:
        first, *rest = row.values()
        click.echo(f"{first:<{width}}  {'  '.join(rest)}".rstrip())
