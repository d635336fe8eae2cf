"""TOPR: tapered off-policy REINFORCE (Le Roux et al. 2025, arXiv 2503.14286)."""

from __future__ import annotations

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Rollout


class TOPR(Algorithm):
    """−sg(α)·A·log π: α = 1 for a completion with A > 0, else min(1, π(y)/β(y)) of the whole completion y (equation 8).

    What is right is learned from without a weight, however unlikely it has become; what is wrong loses its weight as
    it becomes unlikely, so that nothing pushes it down without end.

    What differs: their rewards are 1 and −1 less a constant baseline, which they find to set the share of right
    answers that counts; here A is the outcome against the prompt's group. The sum over tokens is divided by completions
    × longest allowed.
    """

    domains = ("language",)

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The tapered policy gradient."""
        new = self.policy.evaluate(batch)
        log_ratio = batch.sequences(new.log_prob - batch.behaviour_log_prob).detach()
        weight = torch.where(batch.advantage > 0, 1.0, torch.exp(log_ratio.clamp(max=0)))
        loss = -batch.objective(weight * batch.advantage * new.log_prob) + self.auxiliary_loss(new, batch)
        return loss, {"mean_weight": batch.mean(weight)}
