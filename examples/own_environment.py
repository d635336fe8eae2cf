"""A custom environment with Gymnasium's interface: stop a cart at a mark.

    lagbench run --task examples/own_environment.py:make --algo vaco --lag 8 --budget 100k
    lagbench run --task examples/own_environment.py:make --task-set pushes=5 --task-set vectorization=async

``make`` is called once per environment, with the options of ``--task-set`` that it takes.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.wrappers import TimeLimit


class Cart(gymnasium.Env[Any, Any]):
    """Push a cart left or right so that it comes to rest at the mark; wind of random strength pushes too."""

    def __init__(self, pushes: int = 3, wind: float = 0.1) -> None:
        self.observation_space = Dict(
            mark=Box(-1.0, 1.0, (1,), np.float64), cart=Box(-np.inf, np.inf, (2,), np.float64)
        )
        self.action_space = Discrete(pushes)
        self._force = np.linspace(-1.0, 1.0, pushes)
        self._wind = wind

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        """Place the mark and the cart at random."""
        super().reset(seed=seed)
        self._mark, self._place, self._speed = *self.np_random.uniform(-1, 1, 2), 0.0
        return self._seen(), {}

    def step(self, action: int) -> tuple[dict[str, Any], float, bool, bool, Any]:
        """Simulate 0.1 s; the episode terminates if the cart is too far away."""
        force = self._force[action] + self._wind * self.np_random.standard_normal()
        self._speed += 0.1 * force
        self._place += 0.1 * self._speed
        reward = 1.0 - abs(self._place - self._mark) - 0.1 * abs(self._speed)
        return self._seen(), reward, bool(abs(self._place) > 3), False, {}

    def _seen(self) -> dict[str, Any]:
        return {"mark": np.array([self._mark]), "cart": np.array([self._place, self._speed])}


def make(pushes: int = 3, wind: float = 0.1) -> Any:
    """Create the environment, with episodes of at most 100 steps."""
    return TimeLimit(Cart(pushes, wind), 100)
