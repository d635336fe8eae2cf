"""Decoupled PPO: clip around the proximal policy, weighted for the behaviour policy (Hilton et al. 2022)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class DecoupledPPO(Algorithm):
    """−w·min(rA, clip(r, 1 ± clip)·A) with r = π/π_T and w = π_T/β, no gradient through w (their equation 4)."""

    presets = {"control": {"learning_rate": 1e-3}, "language": {"clip": 0.1}}

    class Config(Algorithm.Config):
        """``clip``: clip range of r around 1."""

        clip: Annotated[float, Range(gt=0)] = 0.2

    config: Config

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The corrected clipped surrogate and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        weight = torch.exp(batch.proximal_log_prob - batch.behaviour_log_prob)
        ratio = torch.exp(new.log_prob - batch.proximal_log_prob)
        free = ratio * batch.advantage
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip) * batch.advantage
        loss = -batch.objective(weight * torch.minimum(free, clipped)) + self.auxiliary_loss(new, batch)
        return loss, {"clipped_fraction": batch.mean((clipped < free).float())}
