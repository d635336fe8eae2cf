"""The interface between a domain's actors and the training loop and evaluation."""

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
    """A training episode that ended in ``phase``; subclasses add the fields of their domain."""

    episode_id: int
    actor: int
    phase: int
    episode_return: float
    length: int
    terminated: bool
    truncated: bool


@dataclass(frozen=True, kw_only=True)
class Episode(EndedEpisode):
    """A control episode. (``seed``, ``reset``) identify its initial state."""

    seed: int
    reset: int


@dataclass(frozen=True)
class Transitions:
    """The rows that a phase adds to the trajectories table: n rows in order, by column.

    A column is an array [n], or [n, size] for lists of fixed size, or a sequence of n strings or of n arrays.
    """

    columns: Mapping[str, Any]
    ends: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """Row indices (into the n) that have a final observation, if the domain has them."""
    final_observation: NDArray[Any] = field(default_factory=lambda: np.empty((0, 0)))
    """The final observations of those rows."""


@dataclass(frozen=True)
class Collection:
    """The result of collecting one phase: the learner's rollout, raw rows to record, and finished episodes.

    ``spent`` is the budget it used.
    """

    rollout: Rollout
    transitions: Transitions
    episodes: Sequence[EndedEpisode]
    spent: int


@dataclass(frozen=True, kw_only=True)
class Played(ABC):
    """One evaluation episode. Subclasses add their domain's fields, named like the columns.

    Attributes:
        seed: the seed of its initial state.
        terminated: whether it ended by termination.
        truncated: whether it was truncated by the time limit.
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
    """A control episode: its actions, rewards and observations.

    ``action`` is float32 [length, act], or int32 [length] if discrete, ``reward`` float32 [length],
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
        """The initial policy, version 0: weights from the run's seed, and a normalizer from the warm-up.

        Call it once, first: the warm-up also initialises the actors' own statistics.
        """

    def collect(self, versions: Sequence[Version], phase: int) -> Collection:
        """Collect one phase: actor i acts with ``versions[i]`` throughout."""
        return self.gather([self.act(versions, phase)], np.array([v.number for v in versions]), phase)

    @abstractmethod
    def act(self, versions: Sequence[Version], phase: int) -> Any:
        """Collect a phase with these actors, which may be a part of the run's; the result is picklable, for ``gather``.

        ``versions`` has one entry for each of these actors.
        """

    @abstractmethod
    def gather(self, shares: Sequence[Any], versions: NDArray[np.int64], phase: int) -> Collection:
        """Combine what all parts of the run's actors collected in a phase, in order, with ``versions`` [N]."""

    def collect_by_step(self, versions: Sequence[Sequence[Version]], phase: int) -> Collection:
        """Collect a phase: actor i takes step t of each episode with ``versions[i][t]``. Needs ``Domain.in_flight``."""
        raise NotImplementedError

    @abstractmethod
    def play(
        self, version: Version, seeds: Sequence[int], *, stochastic: bool = False, drawn: bool = False
    ) -> Sequence[Played]:
        """Play one complete episode per seed, with the policy's mode or with sampled actions.

        On a domain whose evaluation episodes have fixed starts, ``drawn`` selects the start by the seed instead.
        """

    @abstractmethod
    def diagnostics(self) -> dict[str, float]:
        """Diagnostics of the last phase that the actors measure."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """State needed to resume, in addition to the specification: arrays and numbers."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state in new actors, bit for bit."""
