"""Tanh networks, the default of control policies: a single one, and those of many versions at once."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lagbench.policies.base import Version
from lagbench.policies.control import ControlPolicy
from lagbench.policies.normalizer import Normalizer, inverse_std, normalize_into
from lagbench.protocol import DEFAULT_HIDDEN


class Tanh(nn.Module):
    """tanh(x) as 2σ(2x) − 1, accurate to 2e-7: torch's own takes several times as long on a CPU."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise, of x's shape."""
        return 2 * torch.sigmoid(2 * x) - 1


def mlp(sizes: Sequence[int], last_gain: float, generator: torch.Generator) -> nn.Sequential:
    """Linear layers of these sizes with tanh between; orthogonal weights, the last layer's ×``last_gain``."""
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        # skip_init, since Linear's own initialisation draws from the global generator.
        layer = nn.utils.skip_init(nn.Linear, n_in, n_out)
        nn.init.orthogonal_(layer.weight, last_gain if last else math.sqrt(2), generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer] if last else [layer, Tanh()]
    return nn.Sequential(*layers)


def stacked(versions: Sequence[Version], name: str) -> Tensor:
    """A tensor of each version's state, stacked [N, …]."""
    distinct = {v.number: v.state for v in versions}
    order = {number: i for i, number in enumerate(distinct)}
    index = torch.tensor([order[v.number] for v in versions])
    return torch.stack([s[name] for s in distinct.values()]).index_select(0, index)


class MLPPolicy(ControlPolicy):
    """Actor and critic, tanh networks of the same sizes, with the normalizer: the base of default control policies.

    Args:
        observation_size: length of an observation.
        outputs: number of the actor's outputs.
        generator: draws the initial weights (orthogonal; last layers ×0.01 for the actor, ×1 for the critic).
        hidden: the units of each hidden layer.

    Attributes:
        actor: ``nn.Sequential`` of linear layers, indices 0, 2, …, and ``Tanh`` between, to the outputs.
        critic: the same, to a value.
    """

    has_critic: ClassVar[bool] = True

    def __init__(
        self, observation_size: int, outputs: int, generator: torch.Generator, hidden: Sequence[int] = DEFAULT_HIDDEN
    ) -> None:
        super().__init__()
        self.normalizer = Normalizer(observation_size)
        self.actor = mlp((observation_size, *hidden, outputs), 0.01, generator)
        self.critic = mlp((observation_size, *hidden, 1), 1.0, generator)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Self:
        """The policy with this state. Raises KeyError or RuntimeError if it is the state of another network."""
        *hidden, outputs = [len(state[f"actor.{i}.bias"]) for i in linear_indices(state)]
        # Any generator will do: the initial weights are overwritten.
        policy = cls(len(state["normalizer.mean"]), outputs, torch.Generator(), hidden)
        policy.load_state_dict(state)
        return policy


class StackedNetworks:
    """The actor networks of N versions, computed with one batched product per layer; see ``control.Network``.

    The cost of a step does not depend on the number of different versions. NumPy does the elementwise work: with the
    cold caches after a step of the simulation, its calls take a fifth of the time of torch's. All memory is torch's and
    allocated once, so that results do not depend on memory alignment.
    """

    def __init__(self, versions: Sequence[Version]) -> None:
        stack = functools.partial(stacked, versions)
        self._mean = stack("normalizer.mean").numpy()
        self._inverse_std = inverse_std(stack("normalizer.variance")).numpy()
        self._normalized = np.empty_like(self._mean)
        self._input = torch.empty(len(versions), 1, self._mean.shape[1])
        self._layers = []
        indices = linear_indices(versions[0].state)
        for i in indices:
            weight, bias = stack(f"actor.{i}.weight").transpose(1, 2), stack(f"actor.{i}.bias").unsqueeze(1)
            # The fastest layout of each product: the last layer is narrow.
            wide = i != indices[-1]
            self._layers.append((weight.contiguous() if wide else weight, bias, torch.empty_like(bias)))

    def __call__(self, observation: NDArray[np.float64]) -> NDArray[np.float32]:
        """Outputs [N, out] for raw observations [N, obs]; overwritten by the next call."""
        x = self._input
        normalize_into(x.numpy()[:, 0], observation, self._mean, self._inverse_std, self._normalized)
        for weight, bias, out in self._layers:
            if x is not self._input:
                np.tanh(x.numpy(), out=x.numpy())
            x = torch.baddbmm(bias, x, weight, out=out)
        return cast("NDArray[np.float32]", x.numpy()[:, 0])


def linear_indices(state: Mapping[str, Tensor]) -> list[int]:
    """The indices of the actor's linear layers, in order."""
    return sorted(int(k.split(".")[1]) for k in state if k.startswith("actor.") and k.endswith(".weight"))
