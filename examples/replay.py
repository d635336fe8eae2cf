"""Training on rollouts of earlier phases again: ``lagbench check examples/replay.py:Replay``."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Range, Rollout


class Replay(Algorithm):
    """−min(ρA, clip(ρ, w ± clip)·A) with ρ = π/β and w = π_T/β, over this phase and the ``kept`` before it.

    The surrogate of GePPO (Queeney et al. 2021, arXiv 2111.00072) on a buffer of phases, for which it was designed. A
    is the advantage of V-trace at w, computed with the current learner, also for old rows.
    """

    class Config(Algorithm.Config):
        """``clip``: clip range of ρ around w; ``kept``: number of stored phases."""

        clip: Annotated[float, Range(gt=0)] = 0.2
        kept: Annotated[int, Range(ge=0, le=64)] = 3

    config: Config

    def prepare(self, rollout: Rollout) -> Rollout:
        self.store(rollout, phases=self.config.kept)
        rollout = rollout.join(*self.stored)
        return self.estimate(rollout, rollout.log_prob - rollout.behaviour_log_prob)

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        new = self.policy.evaluate(batch)
        ratio = torch.exp(new.log_prob - batch.behaviour_log_prob)
        weight = torch.exp(batch.proximal_log_prob - batch.behaviour_log_prob)
        clipped = torch.clamp(ratio, weight - self.config.clip, weight + self.config.clip)
        surrogate = torch.minimum(ratio * batch.advantage, clipped * batch.advantage)
        return self.auxiliary_loss(new, batch) - batch.objective(surrogate), {}
