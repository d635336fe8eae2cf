"""The policy of control tasks with discrete actions: a categorical distribution, with a critic beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lagbench.policies.base import PolicyOutput, Version
from lagbench.policies.control import Acting, ControlPolicy, Network
from lagbench.policies.mlp import StackedNetworks, linear_indices, mlp
from lagbench.policies.normalizer import Normalizer
from lagbench.protocol import DEFAULT_HIDDEN
from lagbench.rollout import Rollout


def log_prob(action: Tensor, logits: Tensor) -> Tensor:
    """Log-probability [...] of actions [...] under softmax(logits), logits [..., n]."""
    return logits.log_softmax(-1).gather(-1, action.long().unsqueeze(-1)).squeeze(-1)


def entropy(logits: Tensor) -> Tensor:
    """Of softmax(logits), [...] for logits [..., n], in nats."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def conditioning(action: Tensor, logits: Tensor) -> Tensor:
    """See ``Policy.conditioning``: 1 + |x_a| + Σ p·|x| with logits x."""
    size = logits.abs()
    return 1 + size.gather(-1, action.unsqueeze(-1)).squeeze(-1) + (logits.softmax(-1) * size).sum(-1)


class CategoricalPolicy(ControlPolicy):
    """Two tanh networks alike, actor and critic, and the normalizer.

    Args:
        observation_size: length of an observation.
        actions: how many there are.
        generator: the stream of the initial weights (orthogonal; last layers ×0.01 for the actor, ×1 for the critic).
        hidden: the units of each hidden layer.

    Attributes:
        actor: ``nn.Sequential`` of linear layers, indices 0, 2, …, and ``Tanh`` between, to a logit for each action.
        critic: the same, to a value.
        normalizer: of observations.
    """

    has_critic: ClassVar[bool] = True

    def __init__(
        self,
        observation_size: int,
        actions: int,
        generator: torch.Generator,
        hidden: Sequence[int] = DEFAULT_HIDDEN,
    ) -> None:
        super().__init__()
        self.normalizer = Normalizer(observation_size)
        self.actor = mlp((observation_size, *hidden, actions), 0.01, generator)
        self.critic = mlp((observation_size, *hidden, 1), 1.0, generator)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The policy that has this state. Raises KeyError or RuntimeError where it is that of another network."""
        *hidden, actions = [len(state[f"actor.{i}.bias"]) for i in linear_indices(state)]
        # The initial weights are overwritten, so that any generator does.
        policy = cls(len(state["normalizer.mean"]), actions, torch.Generator(), hidden)
        policy.load_state_dict(state)
        return policy

    def evaluate(self, batch: Rollout) -> PolicyOutput:
        """See ``Policy.evaluate``; ``next_value`` where the batch has a row more of observations than of actions."""
        x = self.normalizer(batch.observation)
        logits = self.actor(x[: len(batch.action)])
        value = self.critic(x).squeeze(-1)
        next_value = None if len(x) == len(logits) else value[1:]
        return PolicyOutput(log_prob(batch.action, logits), entropy(logits), value[: len(logits)], next_value)

    def conditioning(self, batch: Rollout) -> Tensor:
        """See ``Policy.conditioning``: 1 + |x_a| + Σ p·|x| with logits x."""
        return conditioning(batch.action, self.actor(self.normalizer(batch.observation)[: len(batch.action)]))

    def acting_state(self) -> dict[str, Tensor]:
        """See ``Policy.acting_state``."""
        state = {f"actor.{k}": v for k, v in self.actor.state_dict().items()}
        state["normalizer.mean"] = self.normalizer.mean
        state["normalizer.variance"] = self.normalizer.variance
        return {k: v.to("cpu", copy=True) for k, v in state.items()}

    def acting(self, versions: Sequence[Version]) -> CategoricalActing:
        """See ``ControlPolicy.acting``: one batched product a layer, however many versions there are."""
        return CategoricalActing(StackedNetworks(versions), self.actor[-1].out_features)  # type: ignore[arg-type]


class CategoricalActing(Acting):
    """Actions [N] by the largest of logits + Gumbel noise, which is a sample of softmax(logits)."""

    def __init__(self, network: Network, actions: int) -> None:
        super().__init__(network, actions)

    def noise(self, rng: np.random.Generator, *shape: int) -> NDArray[Any]:
        """See ``Acting.noise``: standard Gumbel."""
        return rng.gumbel(size=(*shape, self.size))

    def choose(self, output: NDArray[np.float32], noise: NDArray[Any] | None, out: NDArray[Any]) -> None:
        """See ``Acting.choose``."""
        out[...] = (output if noise is None else output + noise).argmax(-1)

    def log_prob(self, action: Tensor, output: Tensor) -> Tensor:
        """See ``Acting.log_prob``."""
        return log_prob(action, output)

    def apart(
        self, action: NDArray[Any], output: NDArray[np.float32], noise: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """See ``Acting.apart``: how far the logit of each, with its noise, is below the largest."""
        score = output.astype(np.float64) if noise is None else output + noise
        there = (action >= 0) & (action < self.size)
        own = np.take_along_axis(score, np.where(there, action, 0).astype(np.int64)[..., None], -1)[..., 0]
        return np.where(there, score.max(-1) - own, np.inf)
