"""Two custom tasks, based on EnvPool ids.

    lagbench run --task examples/own_task.py:pendulum --algo vaco --lag 8 --budget 100k
    lagbench sweep --task examples/own_task.py:pendulum,examples/own_task.py:car --algo ppo,vaco --lag 0,8

Each function is called with the name of the task as given to ``--task``, and with the options of ``--task-set``.
"""

from __future__ import annotations

from typing import Any

from lagbench.tasks.mujoco import task
from lagbench.tasks.spec import TaskSpec


def pendulum(task_id: str, **options: Any) -> TaskSpec:
    """Pendulum, truncated after 100 steps unless changed by --task-set max_episode_steps=N."""
    return task("Pendulum-v1", **{"max_episode_steps": 100, **options})


def car(task_id: str, **options: Any) -> TaskSpec:
    """The car in the valley, with a continuous force."""
    return task("MountainCarContinuous-v0", **options)
