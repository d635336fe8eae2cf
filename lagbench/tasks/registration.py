"""The tasks as Gymnasium environments, ``lagbench/<id>``: strings only, no simulator is imported."""

from __future__ import annotations

import gymnasium

from lagbench import registry


def register() -> None:
    """Register every task that the registry knows and Gymnasium does not; safe to call again.

    ``gymnasium.make_vec("lagbench/Hopper-v5", num_envs=64)`` then gives an ``EnvPoolVectorEnv``, and
    ``gymnasium.make("lagbench/GSM8k-v0")`` a ``GSM8kEnv``.
    """
    for task_id in registry.task_ids():
        name, entry = f"lagbench/{task_id}", registry.task_entry(task_id)
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point=entry.environment,
                vector_entry_point=entry.vector_environment,
                kwargs={"task_id": task_id},
            )
