"""GRPO with clip-higher: the loss of DAPO (Yu et al. 2025, arXiv 2503.14476, equation 8)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class GRPO(Algorithm):
    """−min(ρA, clip(ρ, 1 − clip, 1 + clip_high)·A) with ρ = π/β and A the outcome against the prompt's group.

    A is the outcome less the group's mean, divided by its standard deviation (GRPO, Shao et al. 2024, arXiv
    2402.03300); the upper clip is wider, so that an unlikely token can become likely (DAPO).

    What differs: the sum over tokens is divided by completions × longest allowed, as for every algorithm here, in DAPO
    by the batch's tokens. GRPO's KL penalty, which DAPO has not, and DAPO's penalty on length are left out. Its dynamic
    sampling is an option of the task, for every algorithm: ``resample_uniform_groups``.
    """

    domains = ("language",)
    presets = {"language": {"standardize": "group"}}

    class Config(Algorithm.Config):
        """``clip``, ``clip_high``: how far ρ may fall below 1, and rise above it, before a token stops pushing."""

        clip: Annotated[float, Range(gt=0)] = 0.2
        clip_high: Annotated[float, Range(gt=0)] = 0.28

    config: Config

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The surrogate with its two clips."""
        new = self.policy.evaluate(batch)
        ratio = torch.exp(new.log_prob - batch.behaviour_log_prob)
        free = ratio * batch.advantage
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip_high) * batch.advantage
        loss = -batch.objective(torch.minimum(free, clipped)) + self.auxiliary_loss(new, batch)
        return loss, {"clipped_fraction": batch.mean((clipped < free).float())}
