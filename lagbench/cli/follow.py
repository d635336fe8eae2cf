"""What ``run`` and ``resume`` share: sinks to follow a run with, and the end of one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from lagbench.registry import load

if TYPE_CHECKING:
    from lagbench.records.reader import Run
    from lagbench.sinks.base import Sink

_SINKS = {
    "console": "lagbench.sinks.console:Console",
    "jsonl": "lagbench.sinks.jsonl:JsonLines",
    "tensorboard": "lagbench.sinks.tensorboard:TensorBoard",
}


def make_sinks(log: Sequence[str], quiet: bool) -> list[Sink]:
    """The sinks that the options ask for. Raises UsageError for a missing extra, before anything is run."""
    return [load(_SINKS[name])() for name in ([] if quiet else ["console"]) + list(dict.fromkeys(log))]


def finished(run: Run, as_json: bool) -> int:
    """Print a finished run's result on stdout; the exit code."""
    if as_json:
        document = {"path": str(run.path), "status": run.status, "spec": run.spec.to_json(), "result": run.result}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(str(run.path))
    return 3 if run.status == "diverged" else 0
