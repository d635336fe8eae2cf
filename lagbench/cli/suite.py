"""Descriptions of suites: grid, rules, estimated hours."""

from __future__ import annotations

import dataclasses
from typing import Any

from lagbench.protocol import DEFAULT_HIDDEN
from lagbench.sinks.description import duration, evaluation, network
from lagbench.source.algorithms import AlgorithmSource
from lagbench.spec import RunSpec
from lagbench.suites import Suite, of_runs, references
from lagbench.sweep import cost

RULES = (
    "one set of hyperparameters for every task, lag, number of updates and seed",
    "tuned on seeds outside the suite; the search is documented",
    "every cell is run; a diverged run is a result: its missing evaluations count as its first or last one, the lower",
    "the score is that of the last evaluation, never the best",
)


def facts(suite: Suite) -> dict[str, Any]:
    """All facts about a suite, as data for JSON."""
    found = references.load(suite)
    return {
        "suite": suite.name,
        "about": suite.about,
        "sha256": suite.sha256,
        "family": suite.family,
        "replaced_by": suite.replaced_by,
        "duration": suite.duration,
        "axis": suite.axis,
        "runs": len(list(suite.cells())),
        **suite.data,
        "references": None if found is None else {name: dataclasses.asdict(task) for name, task in found.tasks.items()},
    }


def rows(suite: Suite) -> dict[str, str]:
    """The main facts as text: one name and text per row."""
    if suite.replaced_by is not None:
        return {
            "suite": suite.name,
            "retired": f"replaced by {suite.replaced_by}; its runs are still scored, with deterministic actions",
        }
    protocol, found = suite.protocol(suite.values[0]), references.load(suite)
    values = ", ".join(map(str, suite.values))
    updates = f"{values if suite.axis == 'updates' else protocol.updates}: fixed"
    if not protocol.updates_fixed:
        updates = f"at most {protocol.updates}, set by the algorithm"
    runs = len(list(suite.cells()))
    return {
        "suite": suite.name,
        "about": suite.about,
        **_family(suite),
        "tasks": ", ".join(suite.tasks),
        "lag": f"{values} ({protocol.lag_mode})" if suite.axis == "lag" else f"{protocol.lag}",
        "updates": f"{updates} ({protocol.forward}, minibatches of {protocol.minibatch})",
        **({"networks": network(protocol)} if protocol.hidden != DEFAULT_HIDDEN else {}),
        "seeds": f"{suite.seeds[0]}-{suite.seeds[-1]}",
        "runs": f"{runs} per algorithm: {_hours(suite)}",
        "budget": f"{suite.budget:,} {suite.domain.budget_unit} per run, in phases of {_phase(suite)}",
        "evaluation": evaluation(suite.evaluation, suite.domain),
        "references": _referred(suite) if found is None else "returns that score 0 and 1:",
        **({} if found is None else {f"  {name}": _reference(task) for name, task in found.tasks.items()}),
        "rules": RULES[0],
        **{" " * (i + 1): rule for i, rule in enumerate(RULES[1:])},
        "hash": suite.sha256,
    }


def _family(suite: Suite) -> dict[str, str]:
    others = [other.name for other in of_runs(suite.runs.name) if other.name != suite.name]
    return {"family": f"{suite.family}: shares its runs with {', '.join(others)}"} if others else {}


def _hours(suite: Suite) -> str:
    hours = cost.hours(_planned(suite, task, value) for task in suite.tasks for value in suite.values)
    if hours is None:
        return suite.duration or "unknown duration"
    return f"about {duration(3600 * hours * len(suite.seeds))} on one core"


def _planned(suite: Suite, task: str, value: int) -> RunSpec:
    """A cell with the maximum number of updates, made without loading an algorithm or the task, which takes seconds."""
    return RunSpec(
        task=task,
        task_options=suite.task_options(task),
        algorithm=AlgorithmSource("", ""),
        config={},
        protocol=suite.protocol(value),
        budget=suite.budget,
        evaluation=suite.evaluation,
        seed=suite.seeds[0],
        suite=suite.version,
        record="episodes",
        device="cpu",
        torch_threads=1,
    )


def _phase(suite: Suite) -> str:
    sizes = {(p.actors, p.phase_steps) for p in map(suite.protocol, suite.values)}
    return " or ".join(f"{actors} actors × {steps} {suite.domain.step_unit}" for actors, steps in sorted(sizes))


def _referred(suite: Suite) -> str:
    return "none needed: returns are scores" if suite.domain.returns_are_scores else "none: results are not normalised"


def _reference(task: references.TaskReferences) -> str:
    return f"0: version 0, {task.start}; 1: PPO at lag 0, {task.reference}"
