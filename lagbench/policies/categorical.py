"""The policy of control tasks with discrete actions: a categorical distribution, and a critic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lagbench.policies.base import PolicyOutput, Version
from lagbench.policies.control import Acting
from lagbench.policies.mlp import MLPPolicy, StackedNetworks
from lagbench.rollout import Rollout


def log_prob(action: Tensor, logits: Tensor) -> Tensor:
    """Log-probability [...] of actions [...] under softmax(logits), logits [..., n]."""
    return logits.log_softmax(-1).gather(-1, action.long().unsqueeze(-1)).squeeze(-1)


def entropy(logits: Tensor) -> Tensor:
    """The entropy [...] of softmax(logits), logits [..., n], in nats."""
    log_p = logits.log_softmax(-1)
    return -(log_p.exp() * log_p).sum(-1)


def conditioning(action: Tensor, logits: Tensor) -> Tensor:
    """See ``Policy.conditioning``: 1 + |x_a| + Σ p·|x| with logits x."""
    size = logits.abs()
    return 1 + size.gather(-1, action.unsqueeze(-1)).squeeze(-1) + (logits.softmax(-1) * size).sum(-1)


class CategoricalPolicy(MLPPolicy):
    """An ``MLPPolicy`` whose actor has a logit for each action."""

    def evaluate(self, batch: Rollout) -> PolicyOutput:
        """See ``Policy.evaluate``; ``next_value`` if the batch has one more row of observations than of actions."""
        x = self.normalizer(batch.observation)
        logits = self.actor(x[: len(batch.action)])
        value = self.critic(x).squeeze(-1)
        next_value = None if len(x) == len(logits) else value[1:]
        return PolicyOutput(log_prob(batch.action, logits), entropy(logits), value[: len(logits)], next_value)

    def conditioning(self, batch: Rollout) -> Tensor:
        """See ``Policy.conditioning``: 1 + |x_a| + Σ p·|x| with logits x."""
        return conditioning(batch.action, self.actor(self.normalizer(batch.observation)[: len(batch.action)]))

    def acting(self, versions: Sequence[Version]) -> CategoricalActing:
        """See ``ControlPolicy.acting``: one batched product per layer for all versions."""
        return CategoricalActing(StackedNetworks(versions), self.actor[-1].out_features)  # type: ignore[arg-type]


class CategoricalActing(Acting):
    """Actions [N] as the argmax of logits + Gumbel noise, which samples softmax(logits)."""

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
        """See ``Acting.apart``: how far the logit plus noise of each action is below the largest."""
        score = output.astype(np.float64) if noise is None else output + noise
        there = (action >= 0) & (action < self.size)
        own = np.take_along_axis(score, np.where(there, action, 0).astype(np.int64)[..., None], -1)[..., 0]
        return np.where(there, score.max(-1) - own, np.inf)
