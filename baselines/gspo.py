"""GSPO: one ratio per completion, the geometric mean of its tokens' (Zheng et al. 2025, arXiv 2507.18071)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class GSPO(Algorithm):
    """−min(sA, clip(s, 1 − clip, 1 + clip_high)·A) with s = (π(y)/β(y))^(1/|y|) of the completion y (equations 5, 7).

    A is the outcome minus the group's mean, divided by the group's standard deviation. Completions are clipped as a
    whole.

    Differences from the paper: a completion's term is counted for each of its tokens, and the sum is divided by
    completions × maximum length, so that at ρ = 1 the gradient equals that of other algorithms; theirs is a mean over
    completions, in which tokens of long ones weigh less. Their token-wise variant, GSPO-token, is left out: with one
    advantage per completion it is the same.
    """

    domains = ("language",)
    presets = {"language": {"standardize": "group"}}

    class Config(Algorithm.Config):
        """``clip``, ``clip_high``: clip range of s below and above 1; the paper's 3e-4 and 4e-4."""

        clip: Annotated[float, Range(gt=0)] = 3e-4
        clip_high: Annotated[float, Range(gt=0)] = 4e-4

    config: Config

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The surrogate of whole completions."""
        new = self.policy.evaluate(batch)
        ratio = torch.exp(batch.sequences(new.log_prob - batch.behaviour_log_prob) / batch.length)
        free = ratio * batch.advantage
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip_high) * batch.advantage
        loss = -batch.objective(torch.minimum(free, clipped)) + self.auxiliary_loss(new, batch)
        return loss, {"clipped_fraction": batch.mean((clipped < free).float())}
