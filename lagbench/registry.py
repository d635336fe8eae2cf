"""Names → ``"module:attribute"`` strings. Nothing is imported until it is used."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lagbench.errors import UsageError, nearest, unknown

ALGORITHM_GROUP = "lagbench.algorithms"
COMMAND_GROUP = "lagbench.commands"
DOMAIN_GROUP = "lagbench.domains"
LAG_MODE_GROUP = "lagbench.lag_modes"
RESULTS_GROUP = "lagbench.results"
SINK_GROUP = "lagbench.sinks"
TASK_GROUP = "lagbench.tasks"

_MUJOCO = (
    "Ant",
    "HalfCheetah",
    "Hopper",
    "Humanoid",
    "HumanoidStandup",
    "InvertedDoublePendulum",
    "InvertedPendulum",
    "Pusher",
    "Reacher",
    "Swimmer",
    "Walker2d",
)


CONTROL_TASK = "lagbench.tasks.mujoco:task"
ENVIRONMENT_TASK = "lagbench.tasks.environments:task_of"
"""Creates the task of environments that a user's function makes."""
_ENVPOOL_IDS = "lagbench.tasks.mujoco:known_ids"
_QUESTIONS = "lagbench.tasks.gsm8k.task:task"


@dataclass(frozen=True)
class TaskEntry:
    """How a task is created.

    Attributes:
        task_id: its name in specifications.
        entry: the function that creates its TaskSpec, called as ``f(task_id, **options)``: ``module:function`` or
            ``path/to/file.py:function``.
        options: the options of ``--task-set`` with their defaults.
        domain: the name of its domain; None if only creating the task tells.
    """

    task_id: str
    entry: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    domain: str | None = None


def _ours(domain: str, entry: str, *ids: str, **options: Any) -> dict[str, TaskEntry]:
    return {i: TaskEntry(i, entry, MappingProxyType(options), domain) for i in ids}


_tasks = {
    **_ours("control", CONTROL_TASK, *(f"{name}-{version}" for name in _MUJOCO for version in ("v5", "v4"))),
    **_ours("language", _QUESTIONS, "GSM8k-v0"),
    **_ours("language", _QUESTIONS, "GSM8kMini-v0", data="mini", model="mini", prompt="plain", max_new_tokens=96),
}


TESTED = frozenset(_tasks)
"""The tasks that come with lagbench."""


def add_task(entry: TaskEntry) -> None:
    """Register a task by its id, in this process."""
    _tasks[entry.task_id] = entry


def registered_tasks() -> list[TaskEntry]:
    """The tasks of lagbench and those registered in this process."""
    return list(_tasks.values())


def task_ids() -> list[str]:
    """The ids of all registered and installed tasks, sorted."""
    return sorted({*_tasks, *_entries(TASK_GROUP)})


def task_entry(task: str) -> TaskEntry:
    """The entry of a task by id, or by ``module:function`` or ``path/to/file.py:function``, which are loaded later.

    For an id that is neither registered nor installed, EnvPool is loaded and searched. Raises UsageError with the
    nearest id if there is none.
    """
    if not isinstance(task, str):
        raise UsageError(f"a task is named by its id or path/to/file.py:function, not {task!r}")
    if is_own(task):
        return TaskEntry(task, task, domain="control")
    bare = task.removeprefix("lagbench/")
    if bare in _tasks:
        return _tasks[bare]
    installed = _entries(TASK_GROUP)
    if bare in installed:
        return TaskEntry(bare, installed[bare].value)
    if bare in envpool_ids():
        return TaskEntry(bare, CONTROL_TASK, domain="control")
    close = nearest(bare, {*task_ids(), *envpool_ids()})
    hint = f"; did you mean {close!r}?" if close else "."
    raise UsageError(
        f"unknown task {task!r}{hint} Known: {', '.join(task_ids())}, and EnvPool's (lagbench list tasks --all). Name "
        f"your own task as path/to/file.py:function or module:function, see docs/tasks.md"
    )


def envpool_ids() -> frozenset[str]:
    """All of EnvPool's task ids; imports EnvPool."""
    found: frozenset[str] = load(_ENVPOOL_IDS)()
    return found


def is_own(task: str) -> bool:
    """Whether a task is named by a function, ``module:function`` or ``path/to/file.py:function``."""
    return ":" in task


def algorithms() -> dict[str, str]:
    """Every installed algorithm: name → ``"module:Class"``, from the entry-point group ``lagbench.algorithms``."""
    return {name: entry.value for name, entry in _entries(ALGORITHM_GROUP).items()}


def only_for(target: str) -> tuple[str, ...]:
    """The ``domains`` that an algorithm's class declares; empty if it declares none and so supports all.

    Parsed from its source, since importing it takes seconds.
    """
    module, _, name = target.partition(":")
    found = importlib.util.find_spec(module)
    if found is None or not found.has_location or found.origin is None:
        return ()
    for node in ast.walk(ast.parse(Path(found.origin).read_bytes())):
        if isinstance(node, ast.ClassDef) and node.name == name:
            for line in node.body:
                targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
                if any(isinstance(t, ast.Name) and t.id == "domains" for t in targets):
                    return tuple(ast.literal_eval(line.value))  # type: ignore[attr-defined]
    return ()


def distribution(name: str, group: str = ALGORITHM_GROUP) -> tuple[str, str]:
    """The distribution of an installed algorithm and its version. Raises UsageError if there is none.

    ``group`` is the entry-point group, for other kinds than algorithms.
    """
    found = _entries(group)
    if name not in found:
        raise unknown(group.partition(".")[2].removesuffix("s").replace("_", " "), name, found)
    brought_by = found[name].dist
    assert brought_by is not None
    return brought_by.name, brought_by.version


def domains() -> dict[str, str]:
    """Every installed domain: name → ``"module:attribute"``, from the entry-point group ``lagbench.domains``."""
    return {name: entry.value for name, entry in _entries(DOMAIN_GROUP).items()}


def commands() -> dict[str, str]:
    """Further commands of the command line: name → ``"module:attribute"``, from ``lagbench.commands``."""
    return {name: entry.value for name, entry in _entries(COMMAND_GROUP).items()}


def lag_modes() -> dict[str, str]:
    """Every installed lag mode: name → ``"module:Class"``, from the entry-point group ``lagbench.lag_modes``."""
    return {name: entry.value for name, entry in _entries(LAG_MODE_GROUP).items()}


def sinks() -> dict[str, str]:
    """Every installed sink: name → ``"module:Class"``, from the entry-point group ``lagbench.sinks``."""
    return {name: entry.value for name, entry in _entries(SINK_GROUP).items()}


def results() -> dict[str, str]:
    """Directories of published tables: name → ``"module:attribute"``, from the group ``lagbench.results``."""
    return {name: entry.value for name, entry in _entries(RESULTS_GROUP).items()}


@functools.cache
def _entries(group: str) -> dict[str, EntryPoint]:
    # Cached: reading all installed distributions takes milliseconds, and a sweep asks once per cell.
    return {e.name: e for e in sorted(entry_points(group=group), key=lambda e: e.name)}


def load(target: str) -> Any:
    """The object that a ``"module:attribute"`` string names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
