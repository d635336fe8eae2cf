"""The interface of control policies to actors, for any network and distribution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lagbench.policies.base import Policy, Version
from lagbench.policies.normalizer import Normalizer
from lagbench.rollout import Rollout

Network = Callable[[NDArray[np.float64]], NDArray[np.float32]]
"""The networks of N actors: raw observations [N, obs] → outputs [N, out], overwritten by the next call."""


class Acting(ABC):
    """N actors, each with its own policy version; actions are determined by network outputs and given noise.

    Args:
        network: the networks of the actors.
        size: number of outputs.
    """

    def __init__(self, network: Network, size: int) -> None:
        self.output = network
        self.size = size

    @abstractmethod
    def noise(self, rng: np.random.Generator, *shape: int) -> NDArray[Any]:
        """Noise [*shape, out] for sampling actions; independent of the versions."""

    def spread(self, noise: NDArray[Any]) -> NDArray[Any]:
        """Scale noise [..., N, out] in place, as ``choose`` needs it."""
        return noise

    @abstractmethod
    def choose(self, output: NDArray[np.float32], noise: NDArray[Any] | None, out: NDArray[Any]) -> None:
        """Write the actions [N, …] for outputs [N, out] to ``out``; without noise, the mode."""

    @abstractmethod
    def log_prob(self, action: Tensor, output: Tensor) -> Tensor:
        """Log-probabilities [..., N] of actions [..., N, …] given outputs [..., N, out]."""

    @abstractmethod
    def apart(
        self, action: NDArray[Any], output: NDArray[np.float32], noise: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """The distances of recorded actions from those that would be chosen, in the shape of ``action``."""


class ControlPolicy(Policy):
    """A policy on control, with normalized observations.

    Attributes:
        normalizer: the observation normalizer.
    """

    has_normalizer: ClassVar[bool] = True

    normalizer: Normalizer

    @abstractmethod
    def acting(self, versions: Sequence[Version]) -> Acting:
        """N actors with these versions [N] of a policy with the same architecture."""

    def acting_state(self) -> dict[str, Tensor]:
        """See ``Policy.acting_state``: for a user's network its whole state, since the critic may share weights."""
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("critic.")}
        del state["normalizer.count"]
        return {k: v.to("cpu", copy=True) for k, v in state.items()}

    def observe(self, rollout: Rollout) -> None:
        """See ``Policy.observe``."""
        self.normalizer.update(rollout.observation[:-1][rollout.valid])
