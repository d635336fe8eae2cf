"""``lagbench show``."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lagbench import registry, suites
from lagbench.cli import suite as suite_words
from lagbench.cli.follow import run_directory, starting
from lagbench.cli.options import Name, json_option
from lagbench.domain import DOMAINS
from lagbench.errors import UsageError, nearest, unknown

if TYPE_CHECKING:
    from lagbench.records.reader import Run


def _names() -> list[str]:
    return [*registry.algorithms(), *registry.task_ids(), *suites.names()]


@click.command()
@click.argument("what", metavar="RUN-OR-NAME", type=Name("name", _names))
@json_option
def command(what: str, as_json: bool) -> None:
    """Show a run (by directory), or a suite, a task or an algorithm (by name, or path/to/file.py:NAME)."""
    with starting(quiet=False):
        facts, lines = _look(what)
    if as_json:
        click.echo(json.dumps(facts, indent=2, default=str))
    else:
        click.echo("\n".join(lines))


def _look(what: str) -> tuple[dict[str, Any], list[str]]:
    """Facts about a run, suite, task or algorithm, as data and as lines of text."""
    if what.removeprefix("lagbench/") in registry.task_ids() or _is_own_task(what):
        facts = _task(what)
    elif what in (*suites.names(), *suites.retired()) or suites.of_runs(what):
        from lagbench.scoring import power

        suite = suites.load(what)
        facts, rows = suite_words.facts(suite), suite_words.rows(suite)
        if text := power.published(suite):
            facts, rows = {**facts, "power": text}, {**rows, "power": text}
        return facts, _aligned(rows)
    elif what in registry.algorithms() or (".py" in what and not Path(what).is_dir()):
        facts = _algorithm(what)
        config = {name: f"{_plain(value)} — {facts['takes'][name]}" for name, value in facts["config"].items()}
        return facts, _lines({**facts, "config": config, "takes": {}})
    else:
        from lagbench.records.reader import open_run

        try:
            path = run_directory(what)
        except UsageError as error:
            if what in registry.envpool_ids():
                facts = _task(what)
                return facts, _lines(facts)
            if nearest(what, _names()):
                raise unknown("task, algorithm or suite", what, _names()) from None
            raise UsageError(f"{what!r} is not a task, algorithm or suite, and {error}") from None
        run = open_run(path)
        return _run(run), _run_lines(run)
    return facts, _lines(facts)


def _is_own_task(what: str) -> bool:
    """Whether ``what`` names a function; algorithms are classes."""
    from lagbench.source import functions

    with contextlib.suppress(UsageError):
        return registry.is_own(what) and not isinstance(functions.load(what, functions.find(what)[0]), type)
    return False


def _run(run: Run) -> dict[str, Any]:
    from lagbench.sinks import description

    return {
        "run": str(run.path),
        "status": run.status,
        "spec": run.spec.to_json(),
        "summary": run.summary,
        "measure": run.spec.evaluation.measure,
        "curves": {
            mode: [dataclasses.asdict(point) for point in run.curve(mode)]
            for mode in run.spec.evaluation.modes(last=True)
        },
        "lags": description.lags(run).to_json() if run.spec.is_asynchronous and run.phases.count_rows() else None,
        "content_hash": (run.result or {}).get("content_hash"),
    }


def _run_lines(run: Run) -> list[str]:
    from lagbench.records.files import resume_command
    from lagbench.sinks import description

    rows = {**description.about(run.spec), **description.result(run)}
    if run.result is None:
        rows["status"] += (
            f", {run.phases.count_rows()} of {run.spec.phases} phases; resume with: {resume_command(run.path)}"
        )
    elif "diverged" in run.summary:
        rows["status"] = description.divergence(run)
    elif "reason" in run.summary:
        rows["status"] += f": {run.summary['reason']}"
    rows["records"] = f"{run.path} ({run.spec.record})"
    lines = _aligned(rows)
    if run.curve():
        lines += ["", *_curves(run)]
    if run.spec.is_asynchronous and run.phases.count_rows():
        lines += ["", "lag in versions, share of all actors' phases", *description.lags(run).lines()]
    if run.result is not None:
        lines += ["", *_aligned({"table": "content hash", **run.result["content_hash"]})]
    return lines


def _curves(run: Run) -> list[str]:
    """The returns of all evaluations, one column per mode."""
    spec, modes = run.spec, list(run.spec.evaluation.modes(last=True))
    # By budget: with a small one, an evaluation can stand for several fractions.
    found = [{p.budget_used: p.text(spec.domain.return_format) for p in run.curve(mode)} for mode in modes]
    width = max(len(text) for own in found for text in [*own.values(), *spec.domain.modes.values()])

    def row(cells: Iterable[str]) -> str:
        return "  ".join(f"{cell:<{width}}" for cell in cells).rstrip()

    heads = {spec.domain.budget_unit: row(spec.domain.modes[mode] for mode in modes)}
    return _aligned(heads | {f"{used:,}": row(own.get(used, "") for own in found) for used in sorted(found[0])})


def _aligned(rows: dict[str, str]) -> list[str]:
    width = max(map(len, rows))
    return [f"{name:<{width}}  {text}" for name, text in rows.items()]


def _task(name: str) -> dict[str, Any]:
    from lagbench.tasks.spec import load_task

    task = load_task(name)
    fields = {f.name: getattr(task, f.name) for f in dataclasses.fields(task)}
    return {**fields, "domain": task.domain.name, "options": dict(task.options)}


def _algorithm(name: str) -> dict[str, Any]:
    from lagbench.config import describe, field_types
    from lagbench.source import algorithms

    cls = algorithms.load(algorithms.identify(name))
    if not hasattr(cls, "Config"):
        raise UsageError(f"{name} is not an algorithm: its class must be a subclass of lagbench.Algorithm")
    kinds = field_types(cls.Config)
    return {
        "algorithm": name,
        "about": (cls.__doc__ or "").strip().partition("\n")[0],
        "domains": list(cls.domains),
        "minibatch": cls.minibatch,
        "config": {f.name: f.default for f in dataclasses.fields(cls.Config)},
        "takes": {name: describe(kind) for name, kind in kinds.items()},
        "presets": {name: found for name in DOMAINS if (found := cls.preset(name))},
    }


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif value not in ("", {}, []):
            lines.append(f"{indent}{name}: {_plain(value)}")
    return lines


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
