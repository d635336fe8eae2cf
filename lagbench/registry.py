"""Names → ``"module:attribute"`` strings. Imports nothing of what it names until it is asked for."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any

from lagbench.errors import LagbenchError, UsageError, unknown

ALGORITHM_GROUP = "lagbench.algorithms"
COMMAND_GROUP = "lagbench.commands"
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

    Raises UsageError, with the nearest id, where there is none.
    """
    if not isinstance(task, str):
        raise UsageError(f"a task is given by its id or as path/to/file.py:function, not as {task!r}")
    if is_own(task):
        return TaskEntry(task, task, domain="control")
    bare = task.removeprefix("lagbench/")
    if bare in _tasks:
        return _tasks[bare]
    installed = _entries(TASK_GROUP)
    if bare not in installed:
        raise UsageError(
            f"{unknown('task', task, task_ids())} Give one of your own as path/to/file.py:function or "
            "module:function, see docs/tasks.md"
        )
    return TaskEntry(bare, installed[bare])


def is_own(task: str) -> bool:
    """Whether a task is named by what makes it, ``module:function`` or ``path/to/file.py:function``."""
    return ":" in task


def load_function(target: str) -> tuple[Callable[..., Any], Path]:
    """The function of ``module:function`` or ``path/to/file.py:function``, and the file of that module.

    Raises UsageError where there is none.
    """
    place, _, name = target.rpartition(":")
    if place.endswith(".py"):
        path = _copies.get(place, Path(place))
        if not path.is_file():
            raise UsageError(f"there is no file {place!r}; give a task of your own as path/to/file.py:function")
        module = _import_file(path)
    else:
        try:
            module = importlib.import_module(place)
        except LagbenchError:
            raise
        except Exception as error:
            raise UsageError(
                f"{place!r} cannot be imported: {type(error).__name__}: {error}; a file is given as "
                "path/to/file.py:function"
            ) from error
    function, file = getattr(module, name, None), getattr(module, "__file__", None)
    if not callable(function) or file is None:
        own = [v for v in vars(module).values() if isinstance(v, FunctionType) and v.__module__ == module.__name__]
        there = [v.__name__ for v in own if not v.__name__.startswith("_")]
        raise unknown(f"function in {place}", name, there)
    return function, Path(file)


def algorithms() -> dict[str, str]:
    """Every installed algorithm: name → ``"module:Class"``, from the entry-point group ``lagbench.algorithms``."""
    return dict(_entries(ALGORITHM_GROUP))


def commands() -> dict[str, str]:
    """Further commands of the command line: name → ``"module:attribute"``, from ``lagbench.commands``."""
    return dict(_entries(COMMAND_GROUP))


@functools.cache
def _entries(group: str) -> dict[str, str]:
    # Milliseconds each time, over all that is installed; a sweep asks once a cell.
    return {e.name: e.value for e in sorted(entry_points(group=group), key=lambda e: e.name)}


def load(target: str) -> Any:
    """The object that a ``"module:attribute"`` string names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def load_algorithm(name: str) -> tuple[Any, Path]:
    """The class of an algorithm and the file of its source.

    ``name`` is that of an installed algorithm or ``path/to/file.py:Class``. Raises UsageError where there is none.
    """
    if ".py" in name:
        path_text, _, attribute = name.partition(":")
        return _load_from_file(_copies.get(path_text, Path(path_text)), attribute)
    known = algorithms()
    if name not in known:
        raise unknown("algorithm", name, known)
    cls = load(known[name])
    return cls, Path(str(sys.modules[cls.__module__].__file__))


def stand_in(file: str, copy: Path) -> None:
    """Have algorithms named ``file:Class`` loaded from a copy of that file: on another machine it is not there."""
    _copies[file] = copy


_copies: dict[str, Path] = {}


def _load_from_file(path: Path, attribute: str) -> tuple[Any, Path]:
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}; give an algorithm of your own as path/to/file.py:Class")
    module = _import_file(path)
    classes = [k for k, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__]
    if not attribute:
        example = classes[0] if classes else "Class"
        raise UsageError(f"{str(path)!r} needs the name of its class: {path}:{example}")
    if attribute not in vars(module):
        raise unknown(f"class in {path}", attribute, classes)
    return getattr(module, attribute), path


def _import_file(path: Path) -> ModuleType:
    source = path.read_bytes()
    # By path and content: a file that was changed while Python runs is another module.
    key = hashlib.sha256(bytes(path.resolve()) + source).hexdigest()
    name = f"lagbench_user_{path.stem}_{key[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        # Not the loader, whose bytecode cache takes a file changed within a second for the old one.
        exec(compile(source, path, "exec", dont_inherit=True), vars(module))
    except Exception as error:
        del sys.modules[name]
        reason = str(error) if isinstance(error, LagbenchError) else f"{type(error).__name__}: {error}"
        raise UsageError(f"{str(path)!r} cannot be imported: {reason}") from error
    return module
