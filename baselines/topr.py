"""TOPR: tapered off-policy REINFORCE (Le Roux et al. 2025, arXiv 2503.14286)."""

from __future__ import annotations

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Rollout


class TOPR(Algorithm):
    """−sg(α)·A·log π: α = 1 for a completion with A > 0, else min(1, π(y)/β(y)) of the whole completion y (equation 8).

    Right answers are learned from with full weight, however unlikely they have become. Wrong answers lose weight as
    they become unlikely, so that their probability is not pushed down without end.

    Differences from the paper: their reward is ±1 minus a constant baseline, which they show to set the effective share
    of right answers; here A is the outcome minus the group's mean. The sum over tokens is divided by completions ×
    maximum length.
    """

    domains = ("language",)

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The tapered policy gradient."""
        new = self.policy.evaluate(batch)
        log_ratio = batch.sequences(new.log_prob - batch.behaviour_log_prob).detach()
        weight = torch.where(batch.advantage > 0, 1.0, torch.exp(log_ratio.clamp(max=0)))
        loss = -batch.objective(weight * batch.advantage * new.log_prob) + self.auxiliary_loss(new, batch)
        return loss, {"mean_weight": batch.mean(weight)}
