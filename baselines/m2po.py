"""M2PO: a bound on the second moment of log ρ in place of a clip (Zheng et al. 2025, arXiv 2510.01161)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class M2PO(Algorithm):
    """−M·ρA with ρ = π/β; M drops the tokens with the largest (log ρ)² until the mean of the rest is within the budget.

    As in the authors' code, only tokens whose gradient leads further away from β are averaged and dropped: A > 0 with
    ρ > 1, or A < 0 with ρ < 1. The mean is over the minibatch; dropped tokens stay in the denominator. On language, A
    is divided by the standard deviation of the prompt's group.

    Differences: their code, unlike the paper, solves for the bound on |log ρ| at which the moment of the values clipped
    to it is the budget, which drops a few more tokens, and never drops 0.7 < ρ < 1.5; both are left out. The sum over
    tokens is divided by completions × maximum length, theirs by the batch's tokens.
    """

    presets = {"language": {"standardize": "group"}}

    class Config(Algorithm.Config):
        """``budget``: the largest mean of (log ρ)²; 0.04 in the paper."""

        budget: Annotated[float, Range(ge=0)] = 0.04

    config: Config

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The surrogate over the kept tokens, and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        log_ratio = new.log_prob - batch.behaviour_log_prob
        kept = self.keep(batch, log_ratio.detach())
        # Masked before exp: a dropped token has no gradient even if its ratio overflows.
        surrogate = kept * torch.exp(torch.where(kept, log_ratio, 0.0)) * batch.advantage
        loss = -batch.objective(surrogate) + self.auxiliary_loss(new, batch)
        return loss, {"masked_fraction": 1 - batch.mean(kept.float())}

    def keep(self, batch: Rollout, log_ratio: Tensor) -> Tensor:
        """A mask of the tokens to keep, of the batch's shape."""
        leaving = batch.valid & (batch.advantage * log_ratio > 0)
        square = log_ratio.square()
        moment = square[leaving].sort().values
        # The mean of the k smallest grows with k.
        mean = moment.cumsum(0) / torch.arange(1, len(moment) + 1, device=moment.device)
        within = int((mean <= self.config.budget).sum())
        bound = moment[within - 1] if within else -1.0
        return ~leaving | (square <= bound)
