"""``lagbench list``."""

from __future__ import annotations

import json

import click

from lagbench import registry, suites
from lagbench.cli.options import OneOf, json_option
from lagbench.domain import DOMAINS
from lagbench.errors import UsageError


def _tasks() -> list[dict[str, str]]:
    # The domain of an installed task is unknown until it is loaded, which is not done here.
    entries = [registry.task_entry(t) for t in registry.task_ids()]
    return [{"task": e.task_id, "domain": e.domain or "", "source": e.entry} for e in entries]


def _all_tasks() -> list[dict[str, str]]:
    """All task ids, EnvPool's included, and why control cannot use them. Makes each once, in about 10 seconds."""
    from lagbench.cli.progress import progress
    from lagbench.tasks import mujoco

    ids = sorted({*registry.task_ids(), *registry.envpool_ids()})
    rows = []
    with progress("looking", quiet=False) as told:
        for i, task in enumerate(ids):
            reason = "" if task in registry.task_ids() else mujoco.refused(task)
            rows.append({"task": task, "works": "no" if reason else "yes", "reason": reason})
            told(i + 1, len(ids))
    return rows


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
@click.option(
    "--all", "everything", is_flag=True, help="With tasks: also every id of EnvPool, and why some cannot run."
)
@json_option
def command(what: str, everything: bool, as_json: bool) -> None:
    """List tasks, algorithms or suites."""
    if everything and what != "tasks":
        raise UsageError(f"--all applies only to tasks; leave it out: lagbench list {what}")
    rows = _all_tasks() if everything else _KINDS[what]()
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    *columns, last = zip(*(row.values() for row in rows), strict=True)
    for *cells, rest in zip(*([f"{x:<{max(map(len, c))}}" for x in c] for c in columns), last, strict=True):
        click.echo("  ".join([*cells, rest]).rstrip())
