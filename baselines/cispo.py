"""CISPO: clipped weights on the policy gradient, in place of clipped updates (MiniMax 2025, arXiv 2506.13585)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class CISPO(Algorithm):
    """−sg(min(ρ, 1 + clip_high))·A·log π with ρ = π/β (their equations 4 and 5): every token keeps a gradient.

    On language, A is divided by the standard deviation of the prompt's group, as in GRPO.

    Differences from the paper: the sum over tokens is divided by completions × maximum length, theirs by the batch's
    tokens. The mask of their equation 6, which adds PPO's clip, is left out. As in their runs there is no lower bound;
    they publish no value of ``clip_high``.
    """

    presets = {"language": {"standardize": "group"}}

    class Config(Algorithm.Config):
        """``clip_high``: by how much the weight may exceed 1."""

        clip_high: Annotated[float, Range(ge=0)] = 0.28

    config: Config

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The weighted policy gradient and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        log_ratio = (new.log_prob - batch.behaviour_log_prob).detach()
        weight = torch.exp(log_ratio.clamp(max=math.log1p(self.config.clip_high)))
        loss = -batch.objective(weight * batch.advantage * new.log_prob) + self.auxiliary_loss(new, batch)
        return loss, {"capped_fraction": batch.mean((log_ratio > math.log1p(self.config.clip_high)).float())}
