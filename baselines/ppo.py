"""PPO: the clipped surrogate (Schulman et al. 2017, arXiv 1707.06347, equation 7)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class PPO(Algorithm):
    """−min(ρA, clip(ρ, 1 ± clip)·A) with ρ = π/β and GAE of the proximal critic."""

    presets = {"control": {"learning_rate": 1e-3}, "language": {"clip": 0.1}}

    class Config(Algorithm.Config):
        """``clip``: clip range of ρ around 1."""

        clip: Annotated[float, Range(gt=0)] = 0.2

    config: Config

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The clipped surrogate and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        ratio = torch.exp(new.log_prob - batch.behaviour_log_prob)
        free = ratio * batch.advantage
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip) * batch.advantage
        loss = -batch.objective(torch.minimum(free, clipped)) + self.auxiliary_loss(new, batch)
        return loss, {"clipped_fraction": batch.mean((clipped < free).float())}
