"""The control tasks as Gymnasium environments, ``lagbench/<id>``: strings only, no simulator is imported."""

from __future__ import annotations

import gymnasium

from lagbench import registry


def register() -> None:
    """Register every control task that the registry knows and Gymnasium does not; safe to call again.

    ``gymnasium.make_vec("lagbench/Hopper-v5", num_envs=64)`` then gives an ``EnvPoolVectorEnv``.
    """
    for task_id in registry.task_ids():
        name = f"lagbench/{task_id}"
        if registry.task_entry(task_id).domain != "control" or name in gymnasium.registry:
            continue
        gymnasium.register(
            name,
            entry_point="lagbench.tasks.mujoco:make_single",
            vector_entry_point="lagbench.tasks.mujoco:make_vector",
            kwargs={"task_id": task_id},
        )
