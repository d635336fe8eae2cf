"""IMPACT: a target network between behaviour and learner (Luo et al. 2020, arXiv 1912.00167)."""

from __future__ import annotations

import copy
import math
from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Phase, Policy, Range, Rollout


class IMPACT(Algorithm):
    """−min(1, w)·min(RA, clip(R, 1 ± clip)·A) with w = π_target/β, R = min(β/π_target, max_ratio)·π/β.

    R is π/π_target, bounded for actions that were much more likely under β than under the target. π_target is a copy of
    the policy, made at the start of every ``target_every``-th phase; A is the advantage of V-trace at w. The target
    evaluates a phase's data once, when it arrives (their algorithm 1). min(1, w) is the weight that V-trace gives the
    advantage in RLlib's APPO, the authors' code.

    Differences from the paper: the protocol's epochs replace their circular buffer; V-trace uses the critic at the
    start of the phase, in RLlib the current one; advantages are standardized over the minibatch; their penalty on the
    KL divergence from the target, off by default in RLlib, is left out.
    """

    class Config(Algorithm.Config):
        """Hyperparameters.

        ``clip``: clip range of R around 1. ``max_ratio``: upper bound of β/π_target. ``target_every``: phases between
        copies, where the paper counts updates; 1 makes the target the proximal policy.
        """

        clip: Annotated[float, Range(gt=0)] = 0.4
        max_ratio: Annotated[float, Range(gt=0)] = 2.0
        target_every: Annotated[int, Range(ge=1)] = 2

    config: Config
    phases: Tensor

    def __init__(self, config: Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.target = copy.deepcopy(policy).requires_grad_(False)
        self.register_buffer("phases", torch.tensor(0))

    def prepare(self, rollout: Rollout) -> Rollout:
        """The target's log-probabilities, and V-trace at w."""
        target = self.target.evaluate(rollout).log_prob
        rollout = self.estimate(rollout, target - rollout.behaviour_log_prob)
        return rollout.replace(extra={"target_log_prob": target})

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The surrogate clipped around the target, and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        target, behaviour = batch.extra["target_log_prob"], batch.behaviour_log_prob
        weight = torch.exp(target - behaviour).clamp(max=1)
        anchor = torch.maximum(target, behaviour - math.log(self.config.max_ratio))
        ratio = torch.exp(new.log_prob - anchor)
        free = ratio * batch.advantage
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip) * batch.advantage
        loss = -batch.objective(weight * torch.minimum(free, clipped)) + self.auxiliary_loss(new, batch)
        return loss, {
            "clipped_fraction": batch.mean((clipped < free).float()),
            "bounded_fraction": batch.mean((anchor > target).float()),
        }

    def update(self, phase: Phase) -> None:
        """Copy the target if it is due, then make the phase's updates."""
        if self.phases.item() % self.config.target_every == 0:
            self.target.load_state_dict(self.policy.state_dict())
        self.phases += 1
        super().update(phase)
