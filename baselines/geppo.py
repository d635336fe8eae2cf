"""GePPO: PPO on off-policy samples (Queeney et al. 2021, arXiv 2111.00072)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class GePPO(Algorithm):
    """−min(ρA, clip(ρ, w ± clip)·A) with ρ = π/β, w = π_T/β, and the advantage of V-trace at w (their equation 6).

    Advantages are standardized over each minibatch with the weights w, as in the authors' code: A − mean(wA)/mean(w),
    divided by the standard deviation of wA. At w = 1 this is the usual standardization.

    Differences from the paper: their learning rate, which adapts to TV, is left out. They choose the weights of the
    policies in the mixture, and from these the clip; here the protocol gives the mixture, and each sample has weight 1.
    """

    presets = {"control": {"learning_rate": 1e-3, "clip": 0.1}, "language": {"clip": 0.1}}

    class Config(Algorithm.Config):
        """``clip``: clip range of ρ around w. ``standardize``: as elsewhere, but with the moments of wA."""

        clip: Annotated[float, Range(gt=0)] = 0.2

        @property
        def standardize_minibatch(self) -> Literal["none"]:
            return "none"

    config: Config

    def prepare(self, rollout: Rollout) -> Rollout:
        """V-trace at w = π_T/β."""
        return self.estimate(rollout, rollout.log_prob - rollout.behaviour_log_prob)

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The surrogate clipped around w, and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        ratio = torch.exp(new.log_prob - batch.behaviour_log_prob)
        weight = torch.exp(batch.proximal_log_prob - batch.behaviour_log_prob)
        advantage = self.standardized(batch, weight)
        free = ratio * advantage
        clipped = torch.clamp(ratio, weight - self.config.clip, weight + self.config.clip) * advantage
        loss = -batch.objective(torch.minimum(free, clipped)) + self.auxiliary_loss(new, batch)
        return loss, {"clipped_fraction": batch.mean((clipped < free).float())}

    def standardized(self, batch: Rollout, weight: Tensor) -> Tensor:
        """The advantages, of the batch's shape, standardized with ``weight`` in the mode ``Config.standardize``."""
        advantage, mode = batch.advantage, self.config.standardize
        weighted = weight * advantage
        mean, count = batch.mean(weighted), int(batch.valid.sum())
        if mode == "full":
            advantage = advantage - mean / batch.mean(weight)
        if mode in ("full", "scale") and count > 1:
            variance = batch.mean((weighted - mean).square()) * count / (count - 1)
            advantage = advantage / (variance.sqrt() + 1e-8)
        return advantage
