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
"""What makes a task of the environments that a function makes."""
_ENVPOOL_IDS = "lagbench.tasks.mujoco:known_ids"
_QUESTIONS = "lagbench.tasks.gsm8k.task:task"


@dataclass(frozen=True)
class TaskEntry:
    """Where a task comes from.

    Attributes:
        task_id: its name in specifications.
        entry: what makes its TaskSpec, called as ``f(task_id, **options)``: ``module:function`` or
            ``path/to/file.py:function``.
        options: the defaults of what ``--task-set`` may change.
        domain: its domain's name; None where nothing but making it tells.
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
    """Make a task known by its id, in this process."""
    _tasks[entry.task_id] = entry


def registered_tasks() -> list[TaskEntry]:
    """The tasks of lagbench, and those that were registered in this process."""
    return list(_tasks.values())


def task_ids() -> list[str]:
    """The ids of all tasks that are registered or installed, sorted."""
    return sorted({*_tasks, *_entries(TASK_GROUP)})


def task_entry(task: str) -> TaskEntry:
    """The entry of a task: its id, or ``module:function`` or ``path/to/file.py:function``, which is looked at later.

    An id that is neither registered nor installed may be one of EnvPool's, which is loaded to see. Raises UsageError,
    with the nearest id, where there is none.
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
    """All ids that EnvPool has; loads it."""
    found: frozenset[str] = load(_ENVPOOL_IDS)()
    return found


def is_own(task: str) -> bool:
    """Whether a task is named by what makes it, ``module:function`` or ``path/to/file.py:function``."""
    return ":" in task


def algorithms() -> dict[str, str]:
    """Every installed algorithm: name → ``"module:Class"``, from the entry-point group ``lagbench.algorithms``."""
    return {name: entry.value for name, entry in _entries(ALGORITHM_GROUP).items()}


def only_for(target: str) -> tuple[str, ...]:
    """The ``domains`` that an algorithm's class says it is for; empty where it says none, and so is for all.

    Read off its source, since to import it takes seconds.
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
    """The distribution that brought an installed algorithm, and its version. Raises UsageError where there is none.

    ``group`` is the group of another kind of entry point.
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
    """Where published tables are: name → ``"module:attribute"`` of a directory, from ``lagbench.results``."""
    return {name: entry.value for name, entry in _entries(RESULTS_GROUP).items()}


@functools.cache
def _entries(group: str) -> dict[str, EntryPoint]:
    # Milliseconds each time, over all that is installed; a sweep asks once a cell.
    return {e.name: e for e in sorted(entry_points(group=group), key=lambda e: e.name)}


def load(target: str) -> Any:
    """The object that a ``"module:attribute"`` string names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
