"""What the loop and the evaluation ask of a domain's actors, and what they get back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.policies.base import Policy, Version
from lagbench.rollout import Rollout


@dataclass(frozen=True)
class Episode:
    """A training episode that ended. (``seed``, ``reset``) names its start; ``phase`` is the one in which it ended."""

    episode_id: int
    actor: int
    seed: int
    reset: int
    phase: int
    episode_return: float
    length: int
    terminated: bool
    truncated: bool


@dataclass(frozen=True)
class Transitions:
    """The valid rows of a phase, in time order and then by actor, as they are recorded: n rows.

    ``columns`` holds one array a column of the trajectories table, [n] or [n, size]; ``final_observation`` holds rows
    only for those of ``ends`` (indices into the n rows), where an episode ended.
    """

    columns: Mapping[str, NDArray[Any]]
    ends: NDArray[np.int64]
    final_observation: NDArray[Any]


@dataclass(frozen=True)
class Collection:
    """What one phase gave: the rollout that the learner sees, raw rows to record, episodes that ended."""

    rollout: Rollout
    transitions: Transitions
    episodes: Sequence[Episode]


@dataclass(frozen=True)
class PlayedEpisode:
    """One evaluation episode: from ``seed``, the actions that were chosen and what they earned.

    ``action`` is float32 [length, act], ``reward`` float32 [length], ``observation`` float64 [length, obs].
    """

    seed: int
    action: NDArray[Any]
    reward: NDArray[np.float32]
    observation: NDArray[Any]
    terminated: bool
    truncated: bool

    @property
    def length(self) -> int:
        """Steps."""
        return len(self.reward)

    @property
    def episode_return(self) -> float:
        """The undiscounted sum of the raw rewards, in float64, in time order."""
        return float(np.add.accumulate(self.reward, dtype=np.float64)[-1])


class Actors(ABC):
    """A domain's actors, on one task, for one run."""

    @abstractmethod
    def make_policy(self) -> Policy:
        """The initial policy, version 0: the run's seeded weights, and a normalizer from the warm-up.

        To be called once, first: the warm-up starts the actors' own statistics too.
        """

    @abstractmethod
    def collect(self, versions: Sequence[Version], phase: int) -> Collection:
        """One phase: actor i acts with ``versions[i]`` throughout."""

    @abstractmethod
    def play(self, version: Version, seeds: Sequence[int], *, stochastic: bool = False) -> list[PlayedEpisode]:
        """One episode a seed, each played to its end; the policy's mode, or a sample of it."""

    @abstractmethod
    def diagnostics(self) -> dict[str, float]:
        """What the actors themselves log of the last phase."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What a resume needs beside the spec: arrays and numbers."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Bring fresh actors to a saved state, bit for bit."""
