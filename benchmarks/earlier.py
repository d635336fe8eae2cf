"""PPO updates as in earlier versions of lagbench, before actor and critic were evaluated in one pass, for comparison.

Actor and critic are evaluated module by module, with NumPy's tanh; each epoch gathers every field; torch clips
gradients, and Adam is fused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lagbench.policies.gaussian import log_prob
from lagbench.policies.normalizer import Normalizer
from lagbench.rollout import FIELDS, Rollout

_HALF_LOG_2PI_E = 0.5 * math.log(2 * math.pi * math.e)


class _Tanh(torch.autograd.Function):
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
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = _Tanh.apply(x)  # type: ignore[no-untyped-call]
        return y


def _mlp(sizes: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(n_in, n_out)] if i == len(sizes) - 2 else [nn.Linear(n_in, n_out), Tanh()]
    return nn.Sequential(*layers)


class Earlier:
    """The learner, with the weights ``state`` of a current policy."""

    def __init__(self, state: Mapping[str, Tensor], config: Mapping[str, Any], minibatches: int, updates: int) -> None:
        observation, action = len(state["normalizer.mean"]), len(state["log_std"])
        self.policy = nn.Module()
        self.policy.normalizer = Normalizer(observation)
        self.policy.actor = _mlp((observation, 64, 64, action))
        self.policy.critic = _mlp((observation, 64, 64, 1))
        self.policy.log_std = nn.Parameter(torch.zeros(action))
        self.policy.load_state_dict(state)
        self._config = config
        self._minibatches = minibatches
        self._updates = updates
        self._rng = np.random.default_rng(0)
        self._weights = [*self.policy.parameters()]
        self._optimizer = torch.optim.Adam(self._weights, lr=config["learning_rate"], eps=1e-5, fused=True)

    def update(self, rollout: Rollout) -> None:
        """Make a phase's updates on a rollout with advantages."""
        fields = {name: getattr(rollout, name) for name in FIELDS if rollout.has(name)}
        t, made = len(rollout.valid), []
        for _ in range(self._updates // self._minibatches):
            keep = rollout.valid.reshape(-1).nonzero().squeeze(1)
            steps = {k: x[:t].reshape(-1, *x.shape[2:]).index_select(0, keep) for k, x in fields.items()}
            order = torch.from_numpy(self._rng.permutation(len(keep)))
            shuffled = {k: x.index_select(0, order) for k, x in steps.items()}
            small, larger = divmod(len(keep), self._minibatches)
            start = 0
            for i in range(self._minibatches):
                size = small + (i < larger)
                batch = {k: x.narrow(0, start, size) for k, x in shuffled.items()}
                batch["advantage"] = _standardized(batch["advantage"], batch["valid"])
                made.append(self._step(*self._loss(batch)))
                start += size
        torch.stack([torch.stack([*metrics.values()]) for metrics in made]).mean(0).tolist()

    def _loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        policy: Any = self.policy
        x = policy.normalizer(batch["observation"])
        new = log_prob(batch["action"], policy.actor(x), policy.log_std)
        entropy = (policy.log_std + _HALF_LOG_2PI_E).sum().expand_as(new)
        value = policy.critic(x).squeeze(-1)
        ratio = torch.exp(new - batch["behaviour_log_prob"])
        clip = self._config["clip"]
        free = ratio * batch["advantage"]
        clipped = ratio.clamp(1 - clip, 1 + clip) * batch["advantage"]
        total = torch.zeros(()) + self._config["value_coef"] * (value - batch["value_target"]).square().mean()
        if self._config["entropy_coef"]:
            total = total - self._config["entropy_coef"] * entropy.mean()
        return -torch.minimum(free, clipped).mean() + total, {"clipped_fraction": (clipped < free).float().mean()}

    def _step(self, loss: Tensor, metrics: dict[str, Tensor]) -> dict[str, Tensor]:
        assert math.isfinite(loss.item())
        self._optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self._weights, self._config["max_grad_norm"])
        assert math.isfinite(norm.item())
        self._optimizer.step()
        return {**metrics, "loss": loss.detach(), "gradient_norm": norm}


def _standardized(x: Tensor, valid: Tensor) -> Tensor:
    zero, count = x.new_zeros(()), int(valid.sum())
    shifted = torch.where(valid, x - torch.where(valid, x, torch.inf).amin(), zero)
    centred = torch.where(valid, shifted - shifted.sum() / count, zero)
    return centred / ((centred.square().sum() / (count - 1)).sqrt() + 1e-8)
