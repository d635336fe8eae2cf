"""GePPO: PPO on off-policy samples (Queeney et al. 2021, arXiv 2111.00072), without its adaptive learning rate."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class GePPO(Algorithm):
    """−min(ρA, clip(ρ, w ± clip)·A) with ρ = π/β, w = π_T/β, and the advantage of V-trace at w (their equation 6)."""

    presets = {"control": {"learning_rate": 1e-3, "clip": 0.1}, "language": {"clip": 0.1}}

    class Config(Algorithm.Config):
        """``clip``: how far ρ may move from w."""

        clip: Annotated[float, Range(gt=0)] = 0.2

    config: Config

    def prepare(self, rollout: Rollout) -> Rollout:
        """V-trace at w = π_T/β."""
        return self.estimate(rollout, rollout.log_prob - rollout.behaviour_log_prob)

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The surrogate clipped around w, and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        ratio = torch.exp(new.log_prob - batch.behaviour_log_prob)
        weight = torch.exp(batch.proximal_log_prob - batch.behaviour_log_prob)
        free = ratio * batch.advantage
        clipped = torch.clamp(ratio, weight - self.config.clip, weight + self.config.clip) * batch.advantage
        loss = -batch.objective(torch.minimum(free, clipped)) + self.auxiliary_loss(new, batch)
        return loss, {"clipped_fraction": batch.mean((clipped < free).float())}
