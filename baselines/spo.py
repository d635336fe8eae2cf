"""SPO: simple policy optimization, a quadratic in place of the clip (Xie et al. 2024, arXiv 2401.16025)."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class SPO(Algorithm):
    """−(ρA − |A|(ρ − 1)²/(2·epsilon)) with ρ = π/β: the optimum over ρ is 1 + sign(A)·epsilon."""

    presets = {"language": {"epsilon": 0.4}}

    class Config(Algorithm.Config):
        """``epsilon``: distance of ρ from 1 at which a sample's gradient vanishes and changes its sign.

        The search for the v1 suites includes 0.2, the paper's value, 0.4 and 0.8.
        """

        epsilon: Annotated[float, Range(gt=0)] = 0.2

    config: Config

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The penalised surrogate and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        ratio = torch.exp(new.log_prob - batch.behaviour_log_prob)
        penalty = batch.advantage.abs() * (ratio - 1).square() / (2 * self.config.epsilon)
        loss = -batch.objective(ratio * batch.advantage - penalty) + self.auxiliary_loss(new, batch)
        return loss, {"outside_fraction": batch.mean(((ratio - 1).abs() > self.config.epsilon).float())}
