"""The returns that a suite's scores are normalised by: of uniform random actions, and of PPO at lag 0."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import hypot
from types import MappingProxyType
from typing import Any

from lagbench.errors import LagbenchError
from lagbench.suites import Suite
from lagbench.suites import load as load_suite

APART = 10.0
"""Standard errors that must lie between random and reference for a task to be scored (SCIENCE §6)."""


@dataclass(frozen=True)
class Reference:
    """A mean return and its standard error, over episodes for ``random``, over runs for ``reference``.

    ``seeds`` are those that it was measured from, first to last.
    """

    mean: float
    standard_error: float
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class TaskReferences:
    """What scores 0 and what scores 1 on a task."""

    random: Reference
    reference: Reference

    @property
    def apart(self) -> float:
        """The distance between the two, in standard errors of their difference."""
        error = hypot(self.random.standard_error, self.reference.standard_error)
        return (self.reference.mean - self.random.mean) / error if error else float("inf")


@dataclass(frozen=True)
class References:
    """A suite's references by task. The file also has each return, the command and the versions of the packages."""

    tasks: Mapping[str, TaskReferences]


def load(suite: Suite) -> References | None:
    """The references that ship with a suite, None where there are none yet.

    Where PPO at lag 0 makes the same runs in two suites, one file says that its references are ``like`` the other's.

    Raises LagbenchError where they are of another version of the suite, lack a task or do not tell a task's two apart.
    """
    data = _document(suite)
    if data is not None and "like" in data:
        data = _document(load_suite(data["like"]))
    if data is None:
        return None
    if missing := [task for task in suite.tasks if task not in data["tasks"]]:
        raise LagbenchError(f"the references of {suite.name} lack {', '.join(missing)}; measure those too")
    tasks = {
        name: TaskReferences(*(_reference(at[kind]) for kind in ("random", "reference")))
        for name, at in data["tasks"].items()
    }
    for name, found in tasks.items():
        if found.apart <= APART:
            raise LagbenchError(f"{name} cannot be scored: its references are {found.apart:.1f} standard errors apart")
    return References(MappingProxyType(tasks))


def _document(suite: Suite) -> Any:
    file = importlib.resources.files(__package__).joinpath(f"{suite.name}.references.json")
    if not file.is_file():
        return None
    data = json.loads(file.read_text("utf-8"))
    if data["suite"]["sha256"] != suite.sha256:
        raise LagbenchError(f"the references of {suite.name} are of another version of it; measure them again")
    return data


def _reference(data: Mapping[str, Any]) -> Reference:
    return Reference(data["mean"], data["standard_error"], tuple(data["seeds"]))
