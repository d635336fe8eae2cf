"""Registration of tasks under an id, in lagbench and as ``lagbench/<id>`` in Gymnasium."""

from __future__ import annotations

import dataclasses
import re
from types import MappingProxyType
from typing import Any

import gymnasium

from lagbench import domain as domains
from lagbench import registry
from lagbench.errors import UsageError
from lagbench.registry import CONTROL_TASK, TaskEntry
from lagbench.tasks.spec import make

# EnvPool's ids, such as MetaWorld/Reach-v3, included; valid as a run's directory.
_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")


def register() -> None:
    """Register all tasks of the registry with Gymnasium, as strings: no simulator is imported.

    ``gymnasium.make_vec("lagbench/Hopper-v5", num_envs=64)`` then returns an ``EnvPoolVectorEnv``, and
    ``gymnasium.make("lagbench/GSM8k-v0")`` a ``GSM8kEnv``. Gymnasium does not support ids with another ``/``.
    """
    for entry in registry.registered_tasks():
        name = f"lagbench/{entry.task_id}"
        if entry.domain is not None and "/" not in entry.task_id and name not in gymnasium.registry:
            domain = domains.get(entry.domain)
            gymnasium.register(
                name,
                entry_point=domain.environment,
                vector_entry_point=domain.vector_environment,
                kwargs={"task_id": entry.task_id},
            )


def register_task(task_id: str, *, entry: str = CONTROL_TASK, **options: Any) -> None:
    """Register a task by its id in this process; without ``entry``, a control task of EnvPool.

    Args:
        task_id: letters, digits, ``_``, ``.``, ``-`` and ``/``.
        entry: a function that is called as ``f(task_id, **options)`` and returns a ``TaskSpec``: ``module:function`` or
            ``path/to/file.py:function``.
        options: the options of ``--task-set`` with their defaults.

    Raises:
        UsageError: the id is taken, or the task cannot be created: it is created once now, which loads its simulator.
    """
    if not isinstance(task_id, str) or not _ID.fullmatch(task_id):
        raise UsageError(f"a task is registered by its id, a string such as 'Pendulum-v1', not {task_id!r}")
    if not isinstance(entry, str) or ":" not in entry:
        raise UsageError(f"entry must be module:function or path/to/file.py:function, not {entry!r}")
    bare = task_id.removeprefix("lagbench/")
    new = TaskEntry(bare, entry, MappingProxyType(options))
    new = dataclasses.replace(new, domain=make(new, {}).domain.name)
    if bare in registry.task_ids() and registry.task_entry(bare) != new:
        raise UsageError(f"task {bare!r} is registered already, with other settings; choose another id")
    registry.add_task(new)
    register()
