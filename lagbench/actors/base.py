"""What the loop and the evaluation ask of a domain's actors, and what they get back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.policies.base import Policy, Version
from lagbench.rollout import Rollout


@dataclass(frozen=True, kw_only=True)
class EndedEpisode:
    """A training episode that ended, in ``phase``; what its domain records of it beside this, a subclass adds."""

    episode_id: int
    actor: int
    phase: int
    episode_return: float
    length: int
    terminated: bool
    truncated: bool


@dataclass(frozen=True, kw_only=True)
class Episode(EndedEpisode):
    """One of control. (``seed``, ``reset``) names its start."""

    seed: int
    reset: int


@dataclass(frozen=True)
class Transitions:
    """What a phase adds to the trajectories table: n rows in their order, by column.

    A column is an array [n] or, of a list of fixed size, [n, size]; or a sequence of n strings or of n arrays.
    """

    columns: Mapping[str, Any]
    ends: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Where there are final observations: the rows (indices into the n) that have one."""
    final_observation: NDArray[Any] = field(default_factory=lambda: np.empty((0, 0)))
    """Those rows'."""


@dataclass(frozen=True)
class Collection:
    """What one phase gave: the rollout that the learner sees, raw rows to record, episodes that ended.

    ``spent`` is what it took of the budget.
    """

    rollout: Rollout
    transitions: Transitions
    episodes: Sequence[EndedEpisode]
    spent: int


@dataclass(frozen=True, kw_only=True)
class Played(ABC):
    """One evaluation episode. What its domain records of it, a subclass has under the columns' names.

    Attributes:
        seed: from which it began.
        terminated: whether it ended by termination.
        truncated: whether it was cut by the time limit.
    """

    seed: int
    terminated: bool
    truncated: bool

    @property
    @abstractmethod
    def length(self) -> int:
        """Steps."""

    @property
    @abstractmethod
    def episode_return(self) -> float:
        """The undiscounted sum of the raw rewards."""


@dataclass(frozen=True, kw_only=True)
class PlayedEpisode(Played):
    """One of control: the actions that were chosen and what they earned.

    ``action`` is float32 [length, act], or int32 [length] of discrete ones, ``reward`` float32 [length],
    ``observation`` float64 [length, obs].
    """

    action: NDArray[Any]
    reward: NDArray[np.float32]
    observation: NDArray[Any]

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
    def play(
        self, version: Version, seeds: Sequence[int], *, stochastic: bool = False, drawn: bool = False
    ) -> Sequence[Played]:
        """One episode a seed, each played to its end; the policy's mode, or a sample of it.

        Where an evaluation begins its episodes always alike, whatever their seeds, ``drawn`` has each seed draw how its
        own begins.
        """

    @abstractmethod
    def diagnostics(self) -> dict[str, float]:
        """What the actors themselves log of the last phase."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What a resume needs beside the spec: arrays and numbers."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Bring fresh actors to a saved state, bit for bit."""
