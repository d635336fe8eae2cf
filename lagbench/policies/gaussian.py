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

from lagbench.policies import fused
from lagbench.policies.base import Policy, PolicyOutput, Version
from lagbench.policies.flat import pieces
from lagbench.policies.fused import HALF_LOG_2PI
from lagbench.policies.normalizer import Normalizer, inverse_std, normalize_into
from lagbench.protocol import DEFAULT_HIDDEN
from lagbench.rollout import Rollout


def log_prob(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-density [...] of actions [..., act] under N(mean, exp(log_std)²), summed over the action's dimensions."""
    z = (action - mean) * torch.exp(-log_std)
    return -(0.5 * z.square() + log_std + HALF_LOG_2PI).sum(-1)


class Tanh(nn.Module):
    """tanh(x) as 2σ(2x) − 1, to 2e-7: torch's own takes several times as long on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise, of x's shape."""
        return 2 * torch.sigmoid(2 * x) - 1


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
    """Two tanh networks alike, actor and critic, a log standard deviation that no state changes, and the normalizer.

    ``evaluate`` computes both networks at once where it finds them as they were made, each weight in its place in one
    vector; where one lies elsewhere, as after ``to``, it is first moved there. Weights stay parameters of their own:
    they can be frozen, grouped, copied, replaced. What is no longer such a pair is evaluated module by module.

    Args:
        observation_size: length of an observation.
        action_size: length of an action.
        generator: the stream of the initial weights (orthogonal; last layers ×0.01 for the actor, ×1 for the critic).
        hidden: the units of each hidden layer.

    Attributes:
        actor: ``nn.Sequential`` of linear layers, indices 0, 2, …, and ``Tanh`` between, to the mean action.
        critic: the same, to a value.
        log_std: [act].
        normalizer: of observations.
    """

    has_critic: ClassVar[bool] = True
    has_normalizer: ClassVar[bool] = True

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        generator: torch.Generator,
        hidden: Sequence[int] = DEFAULT_HIDDEN,
    ) -> None:
        super().__init__()
        self.normalizer = Normalizer(observation_size)
        self.actor = _mlp((observation_size, *hidden, action_size), 0.01, generator)
        self.critic = _mlp((observation_size, *hidden, 1), 1.0, generator)
        self.log_std = nn.Parameter(torch.zeros(action_size))
        self._made = [type(x) for x in (*self.actor, *self.critic)]
        self._views: tuple[fused.Views, fused.Views] | None = None
        self._parts: list[Tensor] = []
        self._joined(self._weights())

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The policy that has this state. Raises KeyError or RuntimeError where it is that of another network."""
        hidden = [len(state[f"actor.{i}.bias"]) for i in _linear_indices(state)[:-1]]
        # The initial weights are overwritten, so that any generator does.
        policy = cls(len(state["normalizer.mean"]), len(state["log_std"]), torch.Generator(), hidden)
        policy.load_state_dict(state)
        return policy

    def evaluate(self, batch: Rollout) -> PolicyOutput:
        """See ``Policy.evaluate``; ``next_value`` where the batch has a row more of observations than of actions."""
        x = self.normalizer(batch.observation).flatten(0, -2)
        action = batch.action.flatten(0, -2)
        log_prob, entropy, value = self._evaluated(x, action)
        if batch.layout == "steps":
            return PolicyOutput(log_prob, entropy, value, None)
        shape = batch.action.shape[:-1]
        value = value.view(-1, shape[1])
        return PolicyOutput(log_prob.view(shape), entropy.view(shape), value[:-1], value[1:])

    def _evaluated(self, x: Tensor, action: Tensor) -> fused.Outputs:
        def plain() -> fused.Outputs:
            chosen = log_prob(action, self.actor(x[: len(action)]), self.log_std)
            entropy = (self.log_std + (HALF_LOG_2PI + 0.5)).sum().expand_as(chosen)
            return chosen, entropy, self.critic(x).squeeze(-1)

        weights = self._weights()
        joined = None if x.requires_grad or action.requires_grad else self._joined(weights)
        if joined is None:
            return plain()
        outputs: fused.Outputs = fused.ActorCritic.apply(plain, *joined, x, action, *weights)  # type: ignore[no-untyped-call]
        return outputs

    def _weights(self) -> list[Tensor]:
        """Of the layers as they are now, as ``parameters`` orders them; none where the layers are not what was made."""
        # Straight from the modules' dictionaries: this is asked for at every update.
        layers = [*self.actor._modules.values(), *self.critic._modules.values()]
        if [type(x) for x in layers] != self._made:
            return []
        weights = (self.log_std, *(w for x in layers for w in x._parameters.values()))
        found: list[Tensor] = [w for w in weights if w is not None]
        return found if len(found) == len(weights) else []

    def _joined(self, weights: Sequence[Tensor]) -> tuple[fused.Views, fused.Views] | None:
        """Views of one vector, into which the weights are moved if need be, and of one for their gradient, or None."""
        if not weights:
            return None
        places = [x.data_ptr() for x in weights]
        if self._views is None or places != [x.data_ptr() for x in self._parts]:
            self._views = self._join(weights)
        return self._views

    def _join(self, weights: Sequence[Tensor]) -> tuple[fused.Views, fused.Views] | None:
        half = len(weights) // 2
        alike = [x.shape for x in weights[1 : half - 1]] == [x.shape for x in weights[1 + half : -2]]
        kinds = {(type(x), x.dtype, x.device) for x in weights}
        if (
            not alike
            or len(kinds) > 1
            or type(weights[0]) is not nn.Parameter
            or len({*map(id, weights)}) < len(weights)
        ):
            return None
        vector = torch.cat([x.detach().flatten() for x in weights])
        self._parts = pieces(vector, weights)
        for weight, part in zip(weights, self._parts, strict=True):
            weight.data = part
        return fused.Views.of(vector, weights), fused.Views.of(torch.zeros_like(vector), weights)

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        """What ``to`` and the like go through: they move each weight by itself."""
        super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._joined(self._weights())
        return self

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
        indices = _linear_indices(versions[0].state)
        for i in indices:
            weight, bias = stack(f"actor.{i}.weight").transpose(1, 2), stack(f"actor.{i}.bias").unsqueeze(1)
            # As each product is fastest: the last layer is narrow.
            wide = i != indices[-1]
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
