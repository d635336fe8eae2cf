"""Names → ``"module:attribute"`` strings. Imports nothing of what it names until it is asked for."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from lagbench.errors import UsageError, unknown

ALGORITHM_GROUP = "lagbench.algorithms"
COMMAND_GROUP = "lagbench.commands"

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


_SINGLE, _VECTOR = "lagbench.tasks.mujoco:make_single", "lagbench.tasks.mujoco:make_vector"


@dataclass(frozen=True)
class TaskEntry:
    """Where a task comes from: its id, its domain's name and the ``"module:attribute"`` that makes its TaskSpec."""

    task_id: str
    domain: str
    entry: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    environment: str = _SINGLE
    vector_environment: str | None = _VECTOR


_tasks: dict[str, TaskEntry] = {}


def register_task(
    task_id: str,
    *,
    domain: str = "control",
    entry: str = "lagbench.tasks.mujoco:task",
    environment: str = _SINGLE,
    vector_environment: str | None = _VECTOR,
    **options: Any,
) -> None:
    """Make a task known by its id; the default is any continuous-control id of EnvPool's.

    ``entry`` names a function called as ``f(task_id, **options)`` that returns a ``TaskSpec``; ``options`` are the
    defaults of what ``--task-set`` may change. ``environment`` and ``vector_environment`` are for Gymnasium: what its
    ``make`` and ``make_vector`` call. Raises UsageError where the id is taken by something else.
    """
    new = TaskEntry(task_id, domain, entry, MappingProxyType(dict(options)), environment, vector_environment)
    if _tasks.setdefault(task_id, new) != new:
        raise UsageError(f"task {task_id!r} is registered already, with other settings; choose another id")


for _name in _MUJOCO:
    for _version in ("v5", "v4"):
        register_task(f"{_name}-{_version}")


def _register_questions(task_id: str, **options: Any) -> None:
    register_task(
        task_id,
        domain="language",
        entry="lagbench.tasks.gsm8k.task:task",
        environment="lagbench.tasks.gsm8k.environment:make",
        vector_environment=None,
        **options,
    )


_register_questions("GSM8k-v0")
_register_questions("GSM8kMini-v0", data="mini", model="mini", prompt="plain", max_new_tokens=96)


def task_ids() -> list[str]:
    """The ids of all registered tasks, sorted."""
    return sorted(_tasks)


def task_entry(task_id: str) -> TaskEntry:
    """The entry of a registered task. Raises UsageError, with the nearest id, where there is none."""
    bare = task_id.removeprefix("lagbench/")
    if bare not in _tasks:
        raise unknown("task", task_id, _tasks)
    return _tasks[bare]


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
        raise UsageError(f"{str(path)!r} cannot be imported: {type(error).__name__}: {error}") from error
    return module
