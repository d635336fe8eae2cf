"""DPPO: a mask by total variation in place of a clip of ratios (Qi et al. 2026, arXiv 2602.04879)."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class DPPO(Algorithm):
    """−M·sg(min(ρ, max_ratio))·A·log π with ρ = π/β; M drops a token that its own gradient would take too far from β.

    Tokens with A > 0 and π − β > delta are dropped, and those with A < 0 and β − π > delta. |π − β| of the sampled
    token is the total variation between the two policies if all other tokens are merged into one (their Binary-TV).
    Unlike a ratio clip, this does not hold unlikely tokens back while letting likely ones move far.

    Differences from the paper: the sum over tokens is divided by completions × maximum length. Their variants with KL
    and with the most likely tokens are left out, as is the squared log-ratio that prime-rl, whose default this loss is,
    adds. On control π and β are densities, whose difference is not a total variation.
    """

    domains = ("language",)

    class Config(Algorithm.Config):
        """``delta``: largest TV, 0.2 in prime-rl. ``max_ratio``: upper bound of ρ, 20 in the authors' code."""

        delta: Annotated[float, Range(ge=0, le=1)] = 0.2
        max_ratio: Annotated[float, Range(gt=0)] = 20.0

    config: Config

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The weighted policy gradient over the kept tokens."""
        new = self.policy.evaluate(batch)
        log_prob = new.log_prob.detach()
        moved = torch.exp(log_prob) - torch.exp(batch.behaviour_log_prob)
        kept = moved * torch.sign(batch.advantage) <= self.config.delta
        weight = torch.exp((log_prob - batch.behaviour_log_prob).clamp(max=math.log(self.config.max_ratio)))
        loss = -batch.objective(kept * weight * batch.advantage * new.log_prob) + self.auxiliary_loss(new, batch)
        return loss, {"masked_fraction": 1 - batch.mean(kept.float())}
