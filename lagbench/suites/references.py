"""The returns that normalise a suite's scores: those of the untrained policy and of PPO at lag 0."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from math import hypot
from types import MappingProxyType
from typing import Any

from lagbench import suites
from lagbench.errors import LagbenchError
from lagbench.suites import Suite

APART = 10.0
"""Standard errors that must lie between start and reference for a task to be scored (docs/concepts/scores.md)."""


@dataclass(frozen=True)
class Reference:
    """A mean return over ``seeds``, interquartile for ``reference``, with its standard error."""

    mean: float
    standard_error: float
    seeds: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.standard_error:.1f} ({len(self.seeds)} seeds)"


@dataclass(frozen=True)
class TaskReferences:
    """The returns that score 0 and 1 on a task.

    ``start`` is of version 0, the untrained policy, and ``reference`` of PPO at lag 0, both with the suite's own
    evaluation. In retired suites, ``start`` is of uniform random actions, with the error over episodes, and
    ``reference`` the mean over PPO's runs.
    """

    start: Reference
    reference: Reference

    @property
    def apart(self) -> float:
        """The distance between the two, in standard errors of their difference."""
        error = hypot(self.start.standard_error, self.reference.standard_error)
        return (self.reference.mean - self.start.mean) / error if error else float("inf")


@dataclass(frozen=True)
class References:
    """A suite's references by task. The file also contains every return, the command and package versions."""

    tasks: Mapping[str, TaskReferences]


def file_of(suite: Suite) -> Traversable:
    """The file of a suite's references, which need not exist. A family shares one; a suite may name another's."""
    directory = importlib.resources.files(__package__)
    directory = directory.joinpath("retired") if suite.replaced_by else directory
    return directory.joinpath(f"{suite.references or suite.runs.name}.references.json")


def load(suite: Suite) -> References | None:
    """The references that ship with a suite; None if there are none yet.

    Raises LagbenchError if they are of another version of the suite, lack a task, or ``start`` and ``reference`` of a
    task are not apart.
    """
    file = file_of(suite)
    if not file.is_file():
        return None
    data = json.loads(file.read_text("utf-8"))
    own = suites.of_runs(suite.references)[0] if suite.references else suite
    if data["suite"]["sha256"] != own.runs.sha256:
        raise LagbenchError(f"the references of {suite.name} belong to another version of it; measure them again")
    if missing := [task for task in suite.tasks if task not in data["tasks"]]:
        raise LagbenchError(f"the references of {suite.name} lack {', '.join(missing)}; measure those too")
    tasks = {name: read(at) for name, at in data["tasks"].items()}
    for name, found in tasks.items():
        if found.apart <= APART:
            raise LagbenchError(f"{name} cannot be scored: its references are {found.apart:.1f} standard errors apart")
    return References(MappingProxyType(tasks))


def read(data: Mapping[str, Any]) -> TaskReferences:
    """Read a task's references from its entry in the file."""
    start, reference = (
        Reference(at["mean"], at["standard_error"], tuple(at["seeds"])) for at in (data["start"], data["reference"])
    )
    return TaskReferences(start, reference)
