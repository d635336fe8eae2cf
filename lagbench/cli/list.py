"""``lagbench list``."""

from __future__ import annotations

import json

import click

from lagbench import registry, suites
from lagbench.cli.options import OneOf, json_option
from lagbench.domain import DOMAINS


def _tasks() -> list[dict[str, str]]:
    # The domain of an installed one is known when it is loaded, and nothing is here.
    entries = [registry.task_entry(t) for t in registry.task_ids()]
    return [{"task": e.task_id, "domain": e.domain or "", "source": e.entry} for e in entries]


def _algorithms() -> list[dict[str, str]]:
    return [
        {"algorithm": name, "domains": " ".join(registry.only_for(target) or DOMAINS), "source": target}
        for name, target in registry.algorithms().items()
    ]


def _suites() -> list[dict[str, str]]:
    return [{"suite": name, "about": suites.load(name).about} for name in suites.names()]


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
    *columns, last = zip(*(row.values() for row in rows), strict=True)
    for *cells, rest in zip(*([f"{x:<{max(map(len, c))}}" for x in c] for c in columns), last, strict=True):
        click.echo("  ".join([*cells, rest]).rstrip())
