"""Reward scaling on control, by the harness: the same for every algorithm and not part of a policy version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lagbench.policies.normalizer import RunningMoments

GAMMA = 0.99
CLIP = 10.0


class RewardScale:
    """Divides rewards by the running standard deviation of the discounted return; constant within a rollout."""

    def __init__(self, actors: int) -> None:
        self._moments = RunningMoments()
        self._return = np.zeros(actors)

    @property
    def factor(self) -> float:
        """The factor by which raw rewards are multiplied."""
        return float(self._moments.inverse_std)

    def __call__(self, reward: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw rewards → scaled and clipped to ±10, float32, same shape."""
        scaled: NDArray[np.float32] = np.clip(reward * np.float32(self.factor), -CLIP, CLIP)
        return scaled

    def update(self, reward: NDArray[np.float32], done: NDArray[np.bool_], valid: NDArray[np.bool_]) -> None:
        """Update the statistics with a phase [T, N] of raw rewards; discounted returns restart after a done."""
        seen = np.empty(reward.shape)
        for t in range(len(reward)):
            self._return = np.where(valid[t], GAMMA * self._return + reward[t], 0.0)
            seen[t] = self._return
            self._return = np.where(done[t], 0.0, self._return)
        self._moments.update(torch.from_numpy(seen[valid]))

    def start(self, reward: NDArray[np.float32], done: NDArray[np.bool_], valid: NDArray[np.bool_]) -> None:
        """Initialise the statistics with a warm-up [T, any number of actors], whose episodes are not continued."""
        warmup = RewardScale(reward.shape[1])
        warmup.update(reward, done, valid)
        self._moments = warmup._moments

    def begin_anew(self) -> None:
        """Reset the discounted returns: the open episodes are abandoned."""
        self._return = np.zeros_like(self._return)

    def state(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"moments": self._moments.state_dict(), "return": torch.from_numpy(self._return.copy())}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self._moments.load_state_dict(state["moments"])
        self._return = state["return"].numpy().copy()
