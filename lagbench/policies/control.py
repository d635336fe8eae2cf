"""What actors on control ask of a policy, whatever its network and its distribution."""

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
    """N actors, each with a policy version of its own; actions follow from outputs and from noise that is given.

    Args:
        network: theirs.
        size: how many outputs it has.
    """

    def __init__(self, network: Network, size: int) -> None:
        self.output = network
        self.size = size

    @abstractmethod
    def noise(self, rng: np.random.Generator, *shape: int) -> NDArray[Any]:
        """What so many actions are sampled by, [*shape, out]; the same for any versions."""

    def spread(self, noise: NDArray[Any]) -> NDArray[Any]:
        """Noise [..., N, out] as ``choose`` takes it, made in place."""
        return noise

    @abstractmethod
    def choose(self, output: NDArray[np.float32], noise: NDArray[Any] | None, out: NDArray[Any]) -> None:
        """Write the actions [N, …] for outputs [N, out] into ``out``; without noise the mode."""

    @abstractmethod
    def log_prob(self, action: Tensor, output: Tensor) -> Tensor:
        """Log-probabilities [..., N] of actions [..., N, …] given outputs [..., N, out]."""

    @abstractmethod
    def apart(
        self, action: NDArray[Any], output: NDArray[np.float32], noise: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """How far recorded actions are from those that would be chosen, in the shape of ``action``; 0: the same."""


class ControlPolicy(Policy):
    """A policy over normalized observations of control.

    Attributes:
        normalizer: of observations.
    """

    has_normalizer: ClassVar[bool] = True

    normalizer: Normalizer

    @abstractmethod
    def acting(self, versions: Sequence[Version]) -> Acting:
        """N actors with these versions [N] of a policy that is built as this one."""

    def acting_state(self) -> dict[str, Tensor]:
        """See ``Policy.acting_state``: of a network of a user's own all, for what is its critic's may be shared."""
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("critic.")}
        del state["normalizer.count"]
        return {k: v.to("cpu", copy=True) for k, v in state.items()}

    def observe(self, rollout: Rollout) -> None:
        """See ``Policy.observe``."""
        self.normalizer.update(rollout.observation[:-1][rollout.valid])
