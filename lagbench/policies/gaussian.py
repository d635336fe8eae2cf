"""The policy of control tasks: a diagonal Gaussian over unclipped actions, with a critic beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lagbench.policies.base import Evaluation, Policy, Version
from lagbench.policies.normalizer import Normalizer, inverse_std, normalize_into
from lagbench.rollout import Rollout

HIDDEN = 64
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def log_prob(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-density [...] of actions [..., act] under N(mean, exp(log_std)²), summed over the action's dimensions."""
    z = (action - mean) * torch.exp(-log_std)
    return -(0.5 * z.square() + log_std + _HALF_LOG_2PI).sum(-1)


class _Tanh(torch.autograd.Function):
    """tanh by NumPy's, as stacked actors take it; torch's, through MKL, takes ten times as long on some CPUs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.from_numpy(np.tanh(x.numpy()))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        y: Tensor = ctx.saved_tensors[0]
        return gradient * (1 - y.square())


class Tanh(nn.Module):
    """tanh, one formula for learner and actors where the learner is on the CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise, of x's shape."""
        if x.device.type != "cpu":
            return torch.tanh(x)
        y: Tensor = _Tanh.apply(x)  # type: ignore[no-untyped-call]
        return y


def _mlp(sizes: Sequence[int], last_gain: float, generator: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        # skip_init: Linear's own initialisation would draw from the global generator.
        layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
        nn.init.orthogonal_(layer.weight, last_gain if last else math.sqrt(2), generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer] if last else [layer, Tanh()]
    return nn.Sequential(*layers)


class GaussianPolicy(Policy):
    """Two tanh networks of 64×64, actor and critic, a log standard deviation that no state changes, and the normalizer.

    Args:
        observation_size: length of an observation.
        action_size: length of an action.
        generator: the stream of the initial weights (orthogonal; last layers ×0.01 for the actor, ×1 for the critic).
    """

    has_critic: ClassVar[bool] = True
    has_normalizer: ClassVar[bool] = True

    def __init__(self, observation_size: int, action_size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.normalizer = Normalizer(observation_size)
        self.actor = _mlp((observation_size, HIDDEN, HIDDEN, action_size), 0.01, generator)
        self.critic = _mlp((observation_size, HIDDEN, HIDDEN, 1), 1.0, generator)
        self.log_std = nn.Parameter(torch.zeros(action_size))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The policy that has this state. Raises KeyError or RuntimeError where it is that of another network."""
        # The initial weights are overwritten, so that any generator does.
        policy = cls(len(state["normalizer.mean"]), len(state["log_std"]), torch.Generator())
        policy.load_state_dict(state)
        return policy

    def evaluate(self, batch: Rollout) -> Evaluation:
        """See ``Policy.evaluate``; ``next_value`` where the batch has a row more of observations than of actions."""
        x = self.normalizer(batch.observation)
        acted = x[: batch.action.shape[0]]
        logp = log_prob(batch.action, self.actor(acted), self.log_std)
        entropy = (self.log_std + _HALF_LOG_2PI + 0.5).sum().expand_as(logp)
        value = self.critic(x).squeeze(-1)
        if batch.layout == "steps":
            return Evaluation(logp, entropy, value, None)
        return Evaluation(logp, entropy, value[:-1], value[1:])

    def conditioning(self, batch: Rollout) -> Tensor:
        """See ``Policy.conditioning``: 1 + Σ |z|·(|a| + |μ|)/σ with z = (a − μ)/σ."""
        mean = self.actor(self.normalizer(batch.observation)[: batch.action.shape[0]])
        inverse_std = torch.exp(-self.log_std)
        z: Tensor = (batch.action - mean) * inverse_std
        moved: Tensor = z.abs() * (batch.action.abs() + mean.abs()) * inverse_std
        return 1 + moved.sum(-1)

    def acting_state(self) -> dict[str, Tensor]:
        """See ``Policy.acting_state``."""
        state = {f"actor.{k}": v for k, v in self.actor.state_dict().items()}
        state["log_std"] = self.log_std.detach()
        state["normalizer.mean"] = self.normalizer.mean
        state["normalizer.variance"] = self.normalizer.variance
        return {k: v.to("cpu", copy=True) for k, v in state.items()}

    def observe(self, rollout: Rollout) -> None:
        """See ``Policy.observe``."""
        self.normalizer.update(rollout.observation[:-1][rollout.valid])


def restored(_task: str, _options: Mapping[str, Any], state: Mapping[str, Tensor]) -> GaussianPolicy:
    """The policy of a control task that has this state; see ``Domain.policy``."""
    return GaussianPolicy.from_state(state)


class StackedActors:
    """N actors, each with a version of its own, that act in one batched product a layer.

    The cost of a step does not depend on how many different versions there are. NumPy does what is not a product: right
    after a step of the simulation, which leaves no cache warm, its calls take a fifth of the time of torch's. All of it
    works in memory of torch's, allocated once, so that a run's bits do not depend on where memory happens to lie.
    """

    def __init__(self, versions: Sequence[Version]) -> None:
        distinct = {v.number: v.state for v in versions}
        order = {number: i for i, number in enumerate(distinct)}
        index = torch.tensor([order[v.number] for v in versions])

        def stack(name: str) -> Tensor:
            return torch.stack([s[name] for s in distinct.values()]).index_select(0, index)

        self.log_std = stack("log_std")
        self.std = self.log_std.exp()
        self._mean = stack("normalizer.mean").numpy()
        self._inverse_std = inverse_std(stack("normalizer.variance")).numpy()
        self._normalized = np.empty_like(self._mean)
        self._input = torch.empty(len(versions), 1, self._mean.shape[1])
        self._layers = []
        for i in _linear_indices(versions[0].state):
            weight, bias = stack(f"actor.{i}.weight").transpose(1, 2), stack(f"actor.{i}.bias").unsqueeze(1)
            # As each product is fastest: the last layer is narrow.
            wide = weight.shape[2] >= HIDDEN
            self._layers.append((weight.contiguous() if wide else weight, bias, torch.empty_like(bias)))

    def mean(self, observation: NDArray[np.float64]) -> NDArray[np.float32]:
        """Mean actions [N, act] for raw observations [N, obs]; the result is overwritten by the next call."""
        x = self._input
        normalize_into(x.numpy()[:, 0], observation, self._mean, self._inverse_std, self._normalized)
        for weight, bias, out in self._layers:
            if x is not self._input:
                np.tanh(x.numpy(), out=x.numpy())
            x = torch.baddbmm(bias, x, weight, out=out)
        return cast("NDArray[np.float32]", x.numpy()[:, 0])


def _linear_indices(state: Mapping[str, Tensor]) -> list[int]:
    return sorted(int(k.split(".")[1]) for k in state if k.startswith("actor.") and k.endswith(".weight"))
