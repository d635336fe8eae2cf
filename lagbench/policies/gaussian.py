"""The policy of control tasks with continuous actions: a diagonal Gaussian, unclipped, and a critic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lagbench.policies import fused
from lagbench.policies.base import PolicyOutput, Version
from lagbench.policies.control import Acting, Network
from lagbench.policies.flat import pieces
from lagbench.policies.fused import HALF_LOG_2PI
from lagbench.policies.mlp import MLPPolicy, StackedNetworks, stacked
from lagbench.protocol import DEFAULT_HIDDEN
from lagbench.rollout import Rollout


def log_prob(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Log-density [...] of actions [..., act] under N(mean, exp(log_std)²), summed over the action's dimensions."""
    z = (action - mean) * torch.exp(-log_std)
    return -(0.5 * z.square() + log_std + HALF_LOG_2PI).sum(-1)


def conditioning(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """See ``Policy.conditioning``: 1 + Σ |z|·(|a| + |μ|)/σ with z = (a − μ)/σ."""
    inverse_std = torch.exp(-log_std)
    z: Tensor = (action - mean) * inverse_std
    moved: Tensor = z.abs() * (action.abs() + mean.abs()) * inverse_std
    return 1 + moved.sum(-1)


class GaussianPolicy(MLPPolicy):
    """An ``MLPPolicy`` whose actor outputs the mean action, with a state-independent log standard deviation.

    ``evaluate`` computes both networks at once, with all weights in one vector; weights that are elsewhere, as after
    ``to``, are first moved there. Weights remain separate parameters, which can be frozen, grouped, copied or replaced.
    If the networks were changed, so that they no longer match, they are evaluated module by module.

    Attributes:
        log_std: [act], log standard deviation.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        generator: torch.Generator,
        hidden: Sequence[int] = DEFAULT_HIDDEN,
    ) -> None:
        super().__init__(observation_size, action_size, generator, hidden)
        self.log_std = nn.Parameter(torch.zeros(action_size))
        self._made = [type(x) for x in (*self.actor, *self.critic)]
        self._views: tuple[fused.Views, fused.Views] | None = None
        self._parts: list[Tensor] = []
        self._joined(self._weights())

    def evaluate(self, batch: Rollout) -> PolicyOutput:
        """See ``Policy.evaluate``; ``next_value`` if the batch has one more row of observations than of actions."""
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
        """The current weights in the order of ``parameters``; empty if the layers are not the original ones."""
        # Read from the modules' dictionaries, for speed: this is called at every update.
        layers = [*self.actor._modules.values(), *self.critic._modules.values()]
        if [type(x) for x in layers] != self._made:
            return []
        weights = (self.log_std, *(w for x in layers for w in x._parameters.values()))
        found: list[Tensor] = [w for w in weights if w is not None]
        return found if len(found) == len(weights) else []

    def _joined(self, weights: Sequence[Tensor]) -> tuple[fused.Views, fused.Views] | None:
        """Views of one vector, into which weights are moved if necessary, and of one for their gradient; or None."""
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
        """Called by ``to`` and similar methods, which move each weight separately: join them again."""
        super()._apply(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._joined(self._weights())
        return self

    def conditioning(self, batch: Rollout) -> Tensor:
        """See ``Policy.conditioning``: 1 + Σ |z|·(|a| + |μ|)/σ with z = (a − μ)/σ."""
        mean = self.actor(self.normalizer(batch.observation)[: batch.action.shape[0]])
        return conditioning(batch.action, mean, self.log_std)

    def acting(self, versions: Sequence[Version]) -> GaussianActing:
        """See ``ControlPolicy.acting``: one batched product per layer for all versions."""
        return GaussianActing(StackedNetworks(versions), stacked(versions, "log_std"))


class GaussianActing(Acting):
    """Actions [N, act] as output + noise·σ, with ``log_std`` [N, act] of each actor's version."""

    def __init__(self, network: Network, log_std: Tensor) -> None:
        super().__init__(network, log_std.shape[-1])
        self._log_std = log_std
        self._std = log_std.exp().numpy()

    def noise(self, rng: np.random.Generator, *shape: int) -> NDArray[Any]:
        """See ``Acting.noise``: standard normal, float32."""
        return rng.standard_normal((*shape, self.size), dtype=np.float32)

    def spread(self, noise: NDArray[Any]) -> NDArray[Any]:
        """See ``Acting.spread``: times σ."""
        noise *= self._std
        return noise

    def choose(self, output: NDArray[np.float32], noise: NDArray[Any] | None, out: NDArray[Any]) -> None:
        """See ``Acting.choose``."""
        if noise is None:
            out[...] = output
        else:
            np.add(output, noise, out=out)

    def log_prob(self, action: Tensor, output: Tensor) -> Tensor:
        """See ``Acting.log_prob``."""
        return log_prob(action, output, self._log_std)

    def apart(
        self, action: NDArray[Any], output: NDArray[np.float32], noise: NDArray[Any] | None
    ) -> NDArray[np.float64]:
        """See ``Acting.apart``: |Δaction| in each dimension."""
        chosen = output if noise is None else output + noise
        return np.asarray(np.abs(action.astype(np.float64) - chosen))
