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

    π_prox has the exponentially weighted moving average of the policy's weights, which takes in the new ones after each
    update. As in the authors' code each set of weights, the initial one included, counts ``decay`` to the power of its
    age in updates, divided by the sum of these, and π/β is kept below ``max_ratio`` by raising β where it is not.

    What differs: a phase makes the protocol's epochs where theirs makes one; advantages are standardized over the
    minibatch, not the phase; the average acts on observations as the policy normalizes them now. Their adjustments of
    Adam's step size and of ``decay`` answer to a change of the batch size, and here it does not change.
    """

    class Config(Algorithm.Config):
        """Hyperparameters.

        ``clip``: how far r may go before a sample stops pushing. ``decay``: of the average, at each update. The paper's
        0.889 has the centre of mass, decay/(1 − decay), 8 updates back, which is as many as it makes in a phase; the 80
        of ten epochs of eight would ask for 0.988. ``max_ratio``: the bound of π/β.
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
        """The phase's updates, with the observation normalizer as it is since the last."""
        for mine, theirs in zip(self.proximal.buffers(), self.policy.buffers(), strict=True):
            mine.copy_(theirs)
        super().update(phase)

    def step(self, loss: Tensor, metrics: Metrics) -> Metrics:
        """An update, then the average's."""
        metrics = super().step(loss, metrics)
        self.total.mul_(self.config.decay).add_(1)
        share = 1 / self.total.item()
        with torch.no_grad():
            for mine, theirs in zip(self.proximal.parameters(), self.policy.parameters(), strict=True):
                mine.lerp_(theirs, share)
        return metrics
