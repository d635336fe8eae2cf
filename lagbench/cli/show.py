"""``lagbench show``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from lagbench import registry
from lagbench.cli.options import json_option
from lagbench.errors import UsageError, unknown


@click.command()
@click.argument("what", metavar="RUN-OR-NAME")
@json_option
def command(what: str, as_json: bool) -> None:
    """Show a run (its directory), a task or an algorithm (by name, or path/to/file.py:Class)."""
    facts = _facts(what)
    if as_json:
        click.echo(json.dumps(facts, indent=2, default=str))
    else:
        for line in _lines(facts):
            click.echo(line)


def _facts(what: str) -> dict[str, Any]:
    if what.removeprefix("lagbench/") in registry.task_ids():
        return _task(what)
    if what in registry.algorithms() or ".py:" in what:
        return _algorithm(what)
    if not Path(what).exists():
        known = [*registry.task_ids(), *registry.algorithms()]
        raise unknown("run, task or algorithm", what, known)
    return _run(Path(what))


def _run(path: Path) -> dict[str, Any]:
    from lagbench.records.reader import open_run

    run = open_run(path)
    curve = [{"fraction": f, "return": round(m, 2), run.spec.domain.budget_unit: used} for f, m, used in run.curve()]
    return {
        "run": str(path),
        "status": run.status,
        "spec": run.spec.to_json(),
        "summary": run.summary,
        "curve": curve,
        "content_hash": (run.result or {}).get("content_hash"),
    }


def _task(name: str) -> dict[str, Any]:
    from lagbench.tasks.spec import load_task

    task = load_task(name)
    fields = {f.name: getattr(task, f.name) for f in dataclasses.fields(task)}
    return {**fields, "domain": task.domain.name, "options": dict(task.options)}


def _algorithm(name: str) -> dict[str, Any]:
    from lagbench.config import field_types

    cls, _ = registry.load_algorithm(name)
    if not hasattr(cls, "Config"):
        raise UsageError(f"{name} is not an algorithm: its class must derive from lagbench.Algorithm")
    return {
        "algorithm": name,
        "about": (cls.__doc__ or "").strip().partition("\n")[0],
        "minibatch": cls.minibatch,
        "config": {f.name: f.default for f in dataclasses.fields(cls.Config) if f.name in field_types(cls.Config)},
        "presets": dict(cls.presets),
    }


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{indent}{name}:"]
            lines += [f"{indent}  " + "  ".join(f"{k} {v}" for k, v in row.items()) for row in value]
        elif value not in (None, {}, []):
            lines.append(f"{indent}{name}: {value}")
    return lines
