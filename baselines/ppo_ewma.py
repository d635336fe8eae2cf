"""PPO-EWMA: decoupled PPO around a moving average of the weights (Hilton et al. 2022, arXiv 2110.00641, section 4)."""

from __future__ import annotations

import copy
import math
from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Phase, Policy, Range, Rollout


class PPOEWMA(Algorithm):
    """−w·min(rA, clip(r, 1 ± clip)·A) with r = π/π_prox and w = π_prox/β, no gradient through w.

    π_prox uses an exponentially weighted moving average of the policy's weights, updated after each optimizer update.
    As in the authors' code, each set of weights, the initial one included, is weighted by ``decay`` to the power of its
    age in updates, divided by the sum of these; and β is raised where needed to keep π/β below ``max_ratio``.

    Differences from the paper: a phase makes the protocol's epochs where theirs makes one; advantages are standardized
    over the minibatch, not the phase; π_prox uses the policy's current observation normalizer. Their adjustments of
    Adam's step size and of ``decay`` are for changes of the batch size, which is constant here.
    """

    class Config(Algorithm.Config):
        """Hyperparameters.

        ``clip``: clip range of r around 1. ``decay``: of the average, per update. The paper's 0.889 has its centre of
        mass, decay/(1 − decay), 8 updates back, the number that it makes per phase; for ten epochs of eight updates,
        80, it would be 0.988. ``max_ratio``: upper bound of π/β.
        """

        clip: Annotated[float, Range(gt=0)] = 0.2
        decay: Annotated[float, Range(ge=0, lt=1)] = 0.889
        max_ratio: Annotated[float, Range(gt=0)] = 100.0

    config: Config
    total: Tensor

    def __init__(self, config: Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.proximal = copy.deepcopy(policy).requires_grad_(False)
        self.register_buffer("total", torch.tensor(1.0))

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The decoupled clipped surrogate and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        with torch.no_grad():
            proximal = self.proximal.evaluate(batch).log_prob
            lowest = new.log_prob - math.log(self.config.max_ratio)
            weight = torch.exp(proximal - torch.maximum(batch.behaviour_log_prob, lowest))
        ratio = torch.exp(new.log_prob - proximal)
        free = ratio * batch.advantage
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip) * batch.advantage
        loss = -batch.objective(weight * torch.minimum(free, clipped)) + self.auxiliary_loss(new, batch)
        return loss, {"clipped_fraction": batch.mean((clipped < free).float())}

    def update(self, phase: Phase) -> None:
        """Copy the current observation normalizer to the average, then make the phase's updates."""
        for mine, theirs in zip(self.proximal.buffers(), self.policy.buffers(), strict=True):
            mine.copy_(theirs)
        super().update(phase)

    def step(self, loss: Tensor, metrics: Metrics) -> Metrics:
        """Make an update, then update the average."""
        metrics = super().step(loss, metrics)
        self.total.mul_(self.config.decay).add_(1)
        share = 1 / self.total.item()
        with torch.no_grad():
            for mine, theirs in zip(self.proximal.parameters(), self.policy.parameters(), strict=True):
                mine.lerp_(theirs, share)
        return metrics
