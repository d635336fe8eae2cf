"""IMPALA: V-trace actor-critic (Espeholt et al. 2018, arXiv 1802.01561)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class IMPALA(Algorithm):
    """−sg(min(rho_bar, ρ)·A)·log π with A = q − V of V-trace at ρ = π/β.

    Ratios and values are those of the current policy and critic, at every update. Without a critic, A is the advantage
    over the prompt's group.

    Differences from the paper: they use RMSProp, λ = 1 and an entropy bonus; no baseline has one (``entropy_coef``).
    Nothing bounds the size of its updates, so the search for the v1 suites includes learning rates down to 1e-4 for it,
    where the others' start at 3e-4.
    """

    minibatch: ClassVar[Literal["steps", "sequences"]] = "sequences"

    presets = {"control": {"learning_rate": 1e-3, "updates": 16}}

    class Config(Algorithm.Config):
        """Hyperparameters.

        ``rho_bar``, ``c_bar``: truncation of the importance weights (section 4.1). Eight updates per phase are one
        epoch at the default sizes.
        """

        rho_bar: Annotated[float, Range(gt=0)] = 1.0
        c_bar: Annotated[float, Range(gt=0)] = 1.0
        standardize: Literal["full", "scale", "group", "none"] = "scale"
        updates: int | None = 8

    config: Config

    def prepare(self, rollout: Rollout) -> Rollout:
        """V-trace at the start of the phase, for diagnostics of the critic; each update estimates it again."""
        log_ratio = rollout.log_prob - rollout.behaviour_log_prob
        return self.estimate(rollout, log_ratio, self.config.rho_bar, self.config.c_bar)

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The policy gradient with truncated weights, and the auxiliary losses with V-trace's targets."""
        new = self.policy.evaluate(batch)
        log_ratio = (new.log_prob - batch.behaviour_log_prob).detach()
        if new.value is not None and new.next_value is not None:
            batch = batch.replace(value=new.value.detach(), next_value=new.next_value.detach())
        batch = self.estimate(batch, log_ratio, self.config.rho_bar, self.config.c_bar)
        weight = torch.exp(log_ratio).clamp(max=self.config.rho_bar)
        loss = -batch.objective(weight * batch.advantage * new.log_prob) + self.auxiliary_loss(new, batch)
        return loss, {"truncated_fraction": batch.mean((log_ratio.exp() > self.config.rho_bar).float())}
