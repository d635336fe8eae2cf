"""GRPO with clip-higher: the loss of DAPO (Yu et al. 2025, arXiv 2503.14476, equation 8)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class GRPO(Algorithm):
    """−min(ρA, clip(ρ, 1 − clip, 1 + clip_high)·A) with ρ = π/β and A the outcome against the prompt's group.

    A is the outcome minus the group's mean, divided by the group's standard deviation (GRPO, Shao et al. 2024, arXiv
    2402.03300). The upper clip is wider, so that an unlikely token can become likely (DAPO).

    Differences from the papers: the sum over tokens is divided by completions × maximum length, as in every algorithm
    here; in DAPO, by the batch's tokens. GRPO's KL penalty, which DAPO drops, and DAPO's length penalty are left out.
    DAPO's dynamic sampling is an option of the task, for every algorithm: ``resample_uniform_groups``.
    """

    domains = ("language",)
    presets = {"language": {"standardize": "group"}}

    class Config(Algorithm.Config):
        """``clip``, ``clip_high``: clip range of ρ below and above 1."""

        clip: Annotated[float, Range(gt=0)] = 0.2
        clip_high: Annotated[float, Range(gt=0)] = 0.28

    config: Config

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The clipped surrogate."""
        new = self.policy.evaluate(batch)
        ratio = torch.exp(new.log_prob - batch.behaviour_log_prob)
        free = ratio * batch.advantage
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip_high) * batch.advantage
        loss = -batch.objective(torch.minimum(free, clipped)) + self.auxiliary_loss(new, batch)
        return loss, {"clipped_fraction": batch.mean((clipped < free).float())}
