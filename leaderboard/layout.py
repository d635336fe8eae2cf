"""Where what of a submission lies: the directories of a suite's cells, and the files of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lagbench import Protocol, RunSpec, Suite, records, shapes
from lagbench.leaderboard import manifest

SPEC, ENVIRONMENT, RESULT, POLICY = "spec.json", "environment.json", "result.json", "policy.safetensors"
JSON = (SPEC, ENVIRONMENT, RESULT)
FINAL = records.final.FILE
KEPT = ("evaluations", "phases")
"""The tables that a run has in a submission. Of the others there are the hashes: no score needs their rows."""


@dataclass(frozen=True)
class Place:
    """A cell of a suite and the directory of its run, as from the submission's."""

    name: str
    task: str
    value: int
    seed: int
    protocol: Protocol


def table(name: str) -> str:
    """The file of a table, as from the run's directory."""
    return f"{name}/data.arrow"


def tables(spec: RunSpec) -> dict[str, str]:
    """The tables of a run of this specification, and their files."""
    return {name: table(name) for name in records.schema.tables_of(spec)}


def possible() -> frozenset[str]:
    """Every file that a run may have."""
    return frozenset({*JSON, POLICY, FINAL, *map(table, records.schema.TABLES)})


def wanted(spec: RunSpec, result: Mapping[str, Any]) -> frozenset[str]:
    """The files that a run with this spec.json and this result.json must have, no more and no fewer.

    One that diverged has no final evaluation, and may have no policy; some policies are too large to be handed on.
    """
    completed, has_policy = result["status"] == "completed", POLICY in result["files"]
    policy = (POLICY,) if has_policy and shapes.task(spec).policy_is_portable else ()
    return frozenset({*JSON, *tables(spec).values(), *policy, *((FINAL,) if completed else ())})


def directory(task: str, protocol: Protocol, seed: int) -> str:
    """The directory of a cell's run, as from the submission's."""
    return f"{manifest.RUNS}/{task}/lag{protocol.lag}-u{protocol.updates}-seed{seed}"


def places(suite: Suite) -> Iterator[Place]:
    """Every cell of a suite, task by task."""
    for cell in suite.cells():
        value = getattr(cell.protocol, suite.axis)
        yield Place(directory(cell.task, cell.protocol, cell.seed), cell.task, value, cell.seed, cell.protocol)
