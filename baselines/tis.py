"""TIS: truncated importance sampling between sampler and learner (Yao et al. 2025)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class TIS(Algorithm):
    """−min(w, cap)·min(rA, clip(r, 1 ± clip)·A) with r = π/π_T and w = π_T/β, no gradient through w.

    Decoupled PPO with a bound on the weight. Source: F. Yao et al., *Your Efficient RL Framework Secretly Brings You
    Off-Policy RL Training* (2025), where w corrects for the difference between the sampling and the learning engine;
    with a buffer of policies, w also contains lag.

    Differences: the authors use the weight in the losses of several libraries; here the loss is PPO's. Weights of whole
    completions, and masks instead of the bound, which are later work, are left out.
    """

    class Config(Algorithm.Config):
        """``cap``: largest weight, 2 in the source. ``clip``: clip range of r around 1."""

        cap: Annotated[float, Range(gt=0)] = 2.0
        clip: Annotated[float, Range(gt=0)] = 0.2

    config: Config

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The weighted clipped surrogate and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        weight = torch.exp(batch.proximal_log_prob - batch.behaviour_log_prob)
        ratio = torch.exp(new.log_prob - batch.proximal_log_prob)
        free = ratio * batch.advantage
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip) * batch.advantage
        surrogate = weight.clamp(max=self.config.cap) * torch.minimum(free, clipped)
        return -batch.objective(surrogate) + self.auxiliary_loss(new, batch), {
            "clipped_fraction": batch.mean((clipped < free).float()),
            "capped_fraction": batch.mean((weight > self.config.cap).float()),
        }
