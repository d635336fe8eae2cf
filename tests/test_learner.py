"""The learner: the cap on updates, the proximal policy, random numbers, the point where a run stops being finite."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lagbench import Algorithm, Metrics, Policy, Rollout
from lagbench.learner import Learner
from lagbench.synthetic import ControlWorld, LanguageWorld, World

VERSION = 8


class Reinforce(Algorithm):
    """The smallest algorithm."""

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        new = self.policy.evaluate(batch)
        return -batch.objective(new.log_prob * batch.advantage) + self.auxiliary_loss(new, batch), {}


def learner_of(
    cls: type[Algorithm] = Reinforce, allowed: int = 4, world: World | None = None, **config: Any
) -> tuple[Learner, Rollout]:
    """A learner, and a rollout on which it has begun."""
    world = world or ControlWorld()
    values = vars(cls.Config(**config))
    exact = world.domain.exact_log_prob
    learner = Learner(cls, values, world.policy(), world.protocol(allowed), 0, exact_log_prob=exact)
    rollout, _ = learner.begin(world.collect(learner.policy, VERSION), VERSION, 0.0)
    return learner, rollout


@pytest.mark.parametrize(("allowed", "own", "made"), [(4, None, 4), (10, 3, 3), (3, 10, 3)])
def test_updates_up_to_the_cap(allowed: int, own: int | None, made: int) -> None:
    learner, rollout = learner_of(allowed=allowed, updates=own)
    learner.update(rollout, VERSION)
    assert learner.updates_made == made == learner.cap
    # A new phase starts at 0.
    rollout, _ = learner.begin(ControlWorld().collect(learner.policy, 9), 9, 0.5)
    assert learner.updates_made == 0
    learner.update(rollout, VERSION)
    assert learner.updates_made == made


def test_w_is_exactly_1_for_the_learner_s_own_version_on_control() -> None:
    """The recorded number in place of one that agrees to rounding only; rows that are not valid play no part."""
    world = ControlWorld()
    collected = world.collect(world.policy(), VERSION)
    own = collected.valid & (collected.behaviour_version == VERSION)
    nearly = collected.replace(
        behaviour_log_prob=collected.behaviour_log_prob + torch.where(collected.valid, 5e-5, 9.0)
    )
    learner, _ = learner_of(world=world)
    rollout, mismatch = learner.begin(nearly, VERSION, 0.0)
    assert mismatch == pytest.approx(5e-5, rel=0.1)
    assert torch.equal(rollout.proximal_log_prob[own], nearly.behaviour_log_prob[own])
    assert torch.equal(rollout.log_prob, rollout.proximal_log_prob)
    other = collected.valid & ~own
    with torch.no_grad():
        assert torch.equal(rollout.proximal_log_prob[other], learner.policy.evaluate(collected).log_prob[other])


@pytest.mark.parametrize("error", [2e-4, -1.0])
def test_the_largest_mismatch_is_told(error: float) -> None:
    learner, _ = learner_of()
    collected = ControlWorld().collect(learner.policy, VERSION)
    off = collected.behaviour_log_prob.clone()
    row, actor = 7, 0  # actor 0 has no lag
    off[row, actor] += error
    assert bool(collected.valid[row, actor])
    _, mismatch = learner.begin(collected.replace(behaviour_log_prob=off), VERSION, 0.0)
    assert mismatch == pytest.approx(abs(error), rel=0.05)


def test_without_rows_of_its_own_there_is_no_mismatch() -> None:
    learner, _ = learner_of()
    collected = ControlWorld().collect(learner.policy, VERSION)
    old = torch.zeros_like(collected.behaviour_version)
    rollout, mismatch = learner.begin(collected.replace(behaviour_version=old), VERSION, 0.0)
    assert math.isnan(mismatch)
    with torch.no_grad():
        assert torch.equal(rollout.proximal_log_prob, learner.policy.evaluate(collected).log_prob)


def test_data_that_cannot_be_evaluated_is_where_it_ends() -> None:
    learner, _ = learner_of()
    collected = ControlWorld().collect(learner.policy, VERSION)
    action = collected.action.clone()
    action[0, 1] = 1e30  # its square overflows; of an older version
    rollout, _ = learner.begin(collected.replace(action=action), VERSION, 0.0)
    work, diverged = learner.update(rollout, VERSION)
    assert diverged is not None
    assert (diverged.update, diverged.what) == (0, "the log-probability of the data")
    assert learner.updates_made == 0
    assert work.latest is rollout


def test_on_language_the_mismatch_is_data() -> None:
    world = LanguageWorld()
    learner, _ = learner_of(world=world)
    collected = world.collect(learner.policy, VERSION)
    off = collected.replace(behaviour_log_prob=collected.behaviour_log_prob + 0.1)
    rollout, mismatch = learner.begin(off, VERSION, 0.0)
    assert mismatch == pytest.approx(0.1, rel=1e-3)
    with torch.no_grad():
        assert torch.equal(rollout.proximal_log_prob, learner.policy.evaluate(off).log_prob)
    assert not rollout.has("value")


def spoil(at: int, how: Callable[[Policy, Tensor], Tensor]) -> type[Algorithm]:
    """An algorithm that goes wrong at an update."""

    class Spoilt(Reinforce):
        def __init__(self, config: Algorithm.Config, policy: Policy) -> None:
            super().__init__(config, policy)
            self.calls = 0

        def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
            loss, metrics = super().loss(batch)
            self.calls += 1
            return (how(self.policy, loss) if self.calls == at + 1 else loss), metrics

    return Spoilt


@pytest.mark.parametrize(
    ("at", "how", "what"),
    [
        (0, lambda policy, loss: loss * math.nan, "the loss"),
        (3, lambda policy, loss: loss + math.inf, "the loss"),
        (2, lambda policy, loss: loss + (next(policy.parameters()).sum() * 0).sqrt(), "the gradient"),
    ],
)
def test_where_a_run_stops_being_finite(at: int, how: Callable[[Policy, Tensor], Tensor], what: str) -> None:
    learner, rollout = learner_of(spoil(at, how))
    work, diverged = learner.update(rollout, VERSION)
    assert diverged is not None
    assert (diverged.phase, diverged.update, diverged.what) == (VERSION, at, what)
    # What came before is logged, and the policy is the last that was finite.
    assert bool(work.metrics()) == (at > 0)
    assert all(bool(torch.isfinite(p).all()) for p in learner.policy.parameters())


def test_a_weight_that_is_not_finite() -> None:
    class Broken(Reinforce):
        def step(self, loss: Tensor, metrics: Metrics) -> Metrics:
            metrics = super().step(loss, metrics)
            with torch.no_grad():
                next(self.policy.parameters()).fill_(math.nan)
            return metrics

    learner, rollout = learner_of(Broken, allowed=1)
    _, diverged = learner.update(rollout, VERSION)
    assert diverged is not None
    assert (diverged.update, diverged.what) == (0, "the weight log_std")


class Noisy(Reinforce):
    """Draws in its constructor and at each update."""

    start: Tensor

    def __init__(self, config: Algorithm.Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.register_buffer("start", torch.rand(()))

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        return loss * torch.rand(()), {"start": self.start, **metrics}


def test_what_an_algorithm_draws_is_the_run_s() -> None:
    """From the seed and the phase, whatever was drawn before; and the global generator is left alone."""

    def run(version: int) -> dict[str, float]:
        torch.rand(version)
        before = torch.get_rng_state()
        learner, _ = learner_of(Noisy)
        rollout, _ = learner.begin(ControlWorld().collect(learner.policy, VERSION), VERSION, 0.0)
        metrics = learner.update(rollout, version)[0].metrics()
        assert torch.equal(torch.get_rng_state(), before)
        return metrics

    assert run(8) == run(8)
    assert run(8) != run(9)


def test_the_normalizer_moves_when_the_phase_has_ended() -> None:
    """After end_phase: the algorithm's hook sees the policy as it was in the phase."""
    seen = []

    class Watching(Reinforce):
        def end_phase(self, metrics: Any) -> None:
            seen.append((metrics, self.policy.state_dict()["normalizer.count"].item()))

    learner, rollout = learner_of(Watching)
    before = learner.policy.state_dict()["normalizer.count"].item()
    learner.update(rollout, VERSION)
    learner.end_phase(rollout, VERSION, {"kl": 0.5})
    assert seen == [({"kl": 0.5}, before)]
    assert learner.policy.state_dict()["normalizer.count"].item() == before + int(rollout.valid.sum())
