"""Policies around a user's network, which a function creates from the spaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray
from torch import Tensor, nn

from lagbench.errors import LagbenchError, UsageError, reason
from lagbench.policies import categorical, gaussian
from lagbench.policies.base import PolicyOutput, Version
from lagbench.policies.categorical import CategoricalActing
from lagbench.policies.control import Acting, ControlPolicy
from lagbench.policies.fused import HALF_LOG_2PI
from lagbench.policies.gaussian import GaussianActing
from lagbench.policies.mlp import stacked
from lagbench.policies.normalizer import Normalizer
from lagbench.rollout import Rollout

Build = Callable[[Any, Any, torch.Generator], Any]
"""A function that creates a network: ``build(observation_space, action_space, generator)``."""


class OwnPolicy(ControlPolicy):
    """A user's network on control, between the normalizer and the task's action distribution.

    Args:
        network: called with normalized observations [n, obs], float32; returns (outputs [n, out], values [n]). Outputs
            are mean actions, or logits of discrete actions. It is put into evaluation mode: with dropout the learner
            would not be the policy that acted.
        observation_space: a Box [obs].
        action_space: a Box [act], or a Discrete.

    Attributes:
        network: the user's network.
        log_std: [act], state-independent log standard deviation; None for discrete actions.
    """

    has_critic: ClassVar[bool] = True

    log_std: nn.Parameter | None

    def __init__(self, network: nn.Module, observation_space: Box, action_space: Box | Discrete) -> None:
        super().__init__()
        self.normalizer = Normalizer(observation_space.shape[0])
        self.network = network.eval()
        discrete = isinstance(action_space, Discrete)
        self._outputs = int(action_space.n) if isinstance(action_space, Discrete) else action_space.shape[0]
        self.register_parameter("log_std", None if discrete else nn.Parameter(torch.zeros(self._outputs)))

    def _computed(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [..., out] and values [...] for raw observations [..., obs]."""
        x = self.normalizer(observation)
        output, value = self.network(x.flatten(0, -2))
        return output.view(*x.shape[:-1], self._outputs), value.view(x.shape[:-1])

    def evaluate(self, batch: Rollout) -> PolicyOutput:
        """See ``Policy.evaluate``; ``next_value`` if the batch has one more row of observations than of actions."""
        output, value = self._computed(batch.observation)
        rows, action = len(batch.action), batch.action
        if self.log_std is None:
            chosen, entropy = categorical.log_prob(action, output[:rows]), categorical.entropy(output[:rows])
        else:
            chosen = gaussian.log_prob(action, output[:rows], self.log_std)
            entropy = (self.log_std + (HALF_LOG_2PI + 0.5)).sum().expand_as(chosen)
        return PolicyOutput(chosen, entropy, value[:rows], None if len(value) == rows else value[1:])

    def conditioning(self, batch: Rollout) -> Tensor:
        """See ``Policy.conditioning``: that of the distribution with these outputs."""
        output = self._computed(batch.observation)[0][: len(batch.action)]
        if self.log_std is None:
            return categorical.conditioning(batch.action, output)
        return gaussian.conditioning(batch.action, output, self.log_std)

    def acting(self, versions: Sequence[Version]) -> Acting:
        """See ``ControlPolicy.acting``: one actor at a time, so that no row depends on the other actors."""
        network = _Copies(self, versions)
        if self.log_std is None:
            return CategoricalActing(network, self._outputs)
        return GaussianActing(network, stacked(versions, "log_std"))


class _Copies:
    """The networks of N versions, as ``control.Network``."""

    def __init__(self, policy: OwnPolicy, versions: Sequence[Version]) -> None:
        made: dict[int, OwnPolicy] = {}
        for version in versions:
            if version.number not in made:
                copy = deepcopy(policy).to("cpu").requires_grad_(False)
                copy.load_state_dict({**version.state, "normalizer.count": copy.normalizer.count})
                made[version.number] = copy
        self._actors = [made[version.number] for version in versions]
        self._out = np.empty((len(versions), policy._outputs), np.float32)

    @torch.no_grad()
    def __call__(self, observation: NDArray[np.float64]) -> NDArray[np.float32]:
        for i, (policy, row) in enumerate(zip(self._actors, torch.from_numpy(observation), strict=True)):
            self._out[i] = policy._computed(row[None])[0][0].numpy()
        return self._out


def built(build: Build, spaces: tuple[Any, Any], generator: torch.Generator) -> nn.Module:
    """The network that a function creates for (observation space, action space).

    torch's global generator is seeded from ``generator``, since torch's modules draw their initial weights from it.
    Raises UsageError if the function fails or does not return a module.
    """
    name = getattr(build, "__name__", "policy")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        try:
            network = build(*spaces, generator)
        except LagbenchError:
            raise
        except Exception as error:
            told = f"the function {name} cannot create a network for these spaces: {reason(error)}"
            raise UsageError(told) from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"the function {name} must return a torch.nn.Module, and returned {network!r}")
    return network


def control_policy(
    build: Build, observation_space: Box, action_space: Box | Discrete, generator: torch.Generator
) -> OwnPolicy:
    """The policy around a function's network. Raises UsageError if its outputs are not those required."""
    network = built(build, (observation_space, action_space), generator)
    policy = OwnPolicy(network, observation_space, action_space)
    size, outputs = observation_space.shape[0], policy._outputs
    wanted = f"(outputs [n, {outputs}], values [n]) for observations [n, {size}]"
    try:
        with torch.no_grad():
            given = network(torch.zeros(3, size))
        shapes = [tuple(x.shape) for x in given]
    except Exception as error:
        raise UsageError(f"the network must return {wanted}, but fails: {reason(error)}") from error
    if shapes != [(3, outputs), (3,)]:
        raise UsageError(f"the network must return {wanted}; for 3 observations its shapes are {shapes}")
    return policy
