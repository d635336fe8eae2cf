"""What all baselines have in common, on rollouts of both domains."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lagbench import Algorithm, Rollout, registry
from lagbench.config import make_config
from lagbench.learner import Learner
from lagbench.synthetic import ControlWorld, LanguageWorld, World

BASELINES = sorted(registry.algorithms())


def learner_of(name: str, world: World, **config: Any) -> Learner:
    cls = registry.load(registry.algorithms()[name])
    config = make_config(cls.Config, cls.preset(world.domain.name), config)
    return Learner(cls, vars(config), world.policy(), world.protocol(4), 0, exact_log_prob=world.domain.exact_log_prob)


def first_losses(learner: Learner, rollout: Rollout) -> list[tuple[Tensor, Tensor]]:
    """The loss and its gradient on the minibatches of a first epoch."""
    begun, _ = learner.begin(rollout, 8, 0.0)
    found = []
    for batch in learner.phase(begun, 8).batches():
        loss = learner.algorithm.loss(batch)[0]
        parameters = [p for p in learner.policy.parameters()]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        found.append((loss.detach(), torch.cat([g.flatten() for g in gradients])))
    return found


def synchronous(world: World) -> Rollout:
    """A rollout that the learner itself has sampled: w = 1."""
    policy = world.policy()
    rollout = world.collect(policy, 8)
    with torch.no_grad():
        own = torch.where(rollout.valid, policy.evaluate(rollout).log_prob, 0.0)
    return rollout.replace(behaviour_log_prob=own, behaviour_version=torch.full_like(rollout.behaviour_version, 8))


@pytest.mark.parametrize("world", [ControlWorld(), LanguageWorld()])
@pytest.mark.parametrize("name", ["decoupled-ppo", "geppo", "impact", "vaco", "ppo-ewma", "ppo-kl", "spo"])
def test_at_lag_0_every_surrogate_starts_as_ppo_s(name: str, world: World) -> None:
    """At ρ = w = 1 neither a clip nor a filter nor a penalty has a gradient, and V-trace is GAE."""
    rollout = synchronous(world)
    learners = [learner_of(algorithm, world) for algorithm in (name, "ppo")]
    for mine, ppo in zip(*(first_losses(learner, rollout) for learner in learners), strict=True):
        assert torch.allclose(mine[0], ppo[0], rtol=1e-4, atol=1e-6)
        assert torch.allclose(mine[1], ppo[1], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["cispo", "dppo", "grpo", "gspo", "m2po", "tis", "topr"])
def test_at_lag_0_every_gradient_starts_as_ppo_s(name: str) -> None:
    """With advantages of one scale; some are written with log π, whose value is another."""
    world = LanguageWorld()
    rollout = synchronous(world)
    learner = learner_of(name, world, standardize="none")
    for mine, ppo in zip(first_losses(learner, rollout), first_losses(learner_of("ppo", world), rollout), strict=True):
        assert torch.allclose(mine[1], ppo[1], rtol=1e-3, atol=1e-5)


def test_on_stale_data_they_differ() -> None:
    world = ControlWorld()
    rollout = world.collect(world.policy(), 8)
    names = [name for name in BASELINES if "control" in registry.load(registry.algorithms()[name]).domains]
    losses = {name: first_losses(learner_of(name, world), rollout)[0][0].item() for name in names}
    # An average of one policy is that policy.
    assert losses.pop("ppo-ewma") == pytest.approx(losses["decoupled-ppo"], rel=1e-6)
    assert len({round(x, 6) for x in losses.values()}) == len(losses)


@pytest.mark.parametrize("name", BASELINES)
def test_language_advantages_are_the_group_s_own(name: str) -> None:
    """Centred within the group: 1 or 0 minus the share of the group that was solved; GRPO and its kin scale it."""
    world = LanguageWorld()
    rollout = world.collect(world.policy(), 8)
    solved = rollout.reward.sum(0).view(world.groups, world.completions)
    expected = (solved - solved.mean(1, keepdim=True)).flatten()
    learner = learner_of(name, world)
    if learner.algorithm.config.standardize == "group":
        expected = (expected.view(world.groups, -1) / (solved.std(1, keepdim=True, correction=0) + 1e-8)).flatten()
    begun, _ = learner.begin(rollout, 8, 0.0)
    phase = learner.phase(begun, 8)
    assert torch.allclose(phase.rollout.advantage, expected.expand_as(rollout.reward))
    batches = torch.cat([b.advantage[0] for b in phase.batches()])  # the first token is always valid
    assert torch.allclose(batches.sort().values, expected.sort().values)


@pytest.mark.parametrize("name", BASELINES)
def test_is_named_after_its_paper_and_its_hyperparameters(name: str) -> None:
    cls: type[Algorithm]
    cls = registry.load(registry.algorithms()[name])
    assert cls.__module__.startswith("lagbench.baselines.")
    assert cls.__doc__
    assert cls.Config.__doc__
