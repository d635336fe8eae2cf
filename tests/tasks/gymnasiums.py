"""Gymnasium's own MuJoCo environments."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import gymnasium


@cache
def gymnasiums(task_id: str) -> Any:
    """Gymnasium's environment of that id, without its wrappers.

    It refuses Pusher-v4 under MuJoCo 3, for its dynamics; its states are as ever.
    """
    import mujoco

    version = mujoco.__version__
    if task_id == "Pusher-v4":
        mujoco.__version__ = "2.3.7"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is out of date", category=DeprecationWarning)
            return gymnasium.make(task_id, disable_env_checker=True).unwrapped
    finally:
        mujoco.__version__ = version
