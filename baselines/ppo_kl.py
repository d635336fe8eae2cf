"""PPO-KL: an adaptive KL penalty instead of a clip (Schulman et al. 2017, arXiv 1707.06347, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Policy, Range, Rollout

LOWEST, HIGHEST = 1e-3, 1e3


class PPOKL(Algorithm):
    """−ρA + b·KL(β‖π), with b adapted after each phase towards a target KL over the whole rollout."""

    presets = {"control": {"learning_rate": 1e-3, "target_kl": 0.03}}

    class Config(Algorithm.Config):
        """``target_kl``: target of KL(β‖π), in nats."""

        target_kl: Annotated[float, Range(gt=0)] = 0.01

    config: Config
    penalty: Tensor

    def __init__(self, config: Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.register_buffer("penalty", torch.tensor(1.0))

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The unclipped surrogate, the penalty, and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        log_ratio = new.log_prob - batch.behaviour_log_prob
        ratio = torch.exp(log_ratio)
        kl = ratio - 1 - log_ratio
        loss = -batch.objective(ratio * batch.advantage - self.penalty * kl)
        return loss + self.auxiliary_loss(new, batch), {"penalty": self.penalty.clone()}

    def end_phase(self, metrics: Mapping[str, float]) -> None:
        """Halve b if the KL of the phase is below target/1.5, double it above 1.5·target."""
        if metrics["kl"] < self.config.target_kl / 1.5:
            self.penalty.div_(2)
        elif metrics["kl"] > self.config.target_kl * 1.5:
            self.penalty.mul_(2)
        self.penalty.clamp_(LOWEST, HIGHEST)
