"""IMPACT: −min(1, w)·min(RA, clip(R, 1 ± 0.4)·A) with w = π_target/β, R = min(β/π_target, 2)·π/β; V-trace at w."""

from __future__ import annotations

import pytest
import torch

from lagbench import estimators
from lagbench.baselines.impact import IMPACT
from lagbench.learner import Learner
from lagbench.policies.gaussian import GaussianPolicy
from lagbench.synthetic import ControlWorld
from tests.baselines.tables import CriticTable, Table, batch, loss_and_gradient, make, numbers


@pytest.mark.parametrize(
    ("ratio", "w", "advantage", "term", "gradient"),
    [
        # Inside: min(1, w)·π/π_target·A.
        (1.2, 0.8, 1.0, 0.96, 0.96),
        (1.2, 3.0, 1.0, 1.2, 1.2),
        # Clipped where it pays, pulled back where it does not.
        (2.0, 0.8, 1.0, 0.8 * 1.4, 0.0),
        (0.5, 3.0, -1.0, -0.6, 0.0),
        (2.0, 0.8, -1.0, -1.6, -1.6),
        # w = 1/8: R = 2·π/β = π/π_target/4. 6 becomes 1.5 and is clipped; 4 becomes 1.
        (6.0, 0.125, 1.0, 0.125 * 1.4, 0.0),
        (4.0, 0.125, 1.0, 0.125, 0.125),
        # The bound alone puts R below 1 − 0.4: nothing pushes an action down of which the target has let go.
        (1.0, 0.125, -1.0, 0.125 * -0.6, 0.0),
        (1.0, 0.125, 1.0, 0.125 * 0.25, 0.125 * 0.25),
    ],
)
def test_each_case_alone(ratio: float, w: float, advantage: float, term: float, gradient: float) -> None:
    """``ratio`` is π/π_target; the proximal policy plays no part."""
    beta = numbers(-1.0)
    target = beta + numbers(w).log()
    algorithm = make(IMPACT, Table(target + numbers(ratio).log()))
    data = batch(beta, numbers(advantage), numbers(5.0)).replace(extra={"target_log_prob": target})
    loss, slope, metrics = loss_and_gradient(algorithm, data)
    assert loss == pytest.approx(-term, rel=1e-12)
    assert slope.item() == pytest.approx(-gradient, rel=1e-12, abs=1e-15)
    assert metrics["bounded_fraction"] == float(w < 0.5)


def test_a_phase_is_evaluated_by_the_target_when_it_arrives() -> None:
    rng = torch.Generator().manual_seed(0)
    beta, target, reward, value, following = torch.randn(5, 6, 3, generator=rng, dtype=torch.float64)
    ended = torch.rand(6, 3, generator=rng) < 0.2
    algorithm = make(IMPACT, CriticTable(target, torch.zeros_like(value), torch.zeros_like(value)))
    data = batch(beta, value, target + 1, reward=reward, truncated=ended, value=value, next_value=following)
    data.__dict__["layout"] = "phase"  # where advantages are not standardized yet
    prepared = algorithm.prepare(data)
    # The learner's critic, the target's ratio.
    trace = estimators.vtrace(reward, value, following, ~data.valid, ended, 0.99, 0.95, target - beta)
    assert torch.equal(prepared.advantage, trace.q - value)
    assert torch.equal(prepared.value_target, trace.value_target)
    assert torch.equal(prepared.extra["target_log_prob"], target)


def test_the_target_is_a_whole_version_of_every_second_phase() -> None:
    """Copied at the start of phases 8 and 10, weights and normalizer; between them it stays."""
    world = ControlWorld()
    learner = Learner(IMPACT, vars(IMPACT.Config()), world.policy(), world.protocol(4), 0, exact_log_prob=True)
    assert isinstance(learner.algorithm, IMPACT)
    policy, target = learner.policy, learner.algorithm.target
    assert isinstance(policy, GaussianPolicy)
    trained = {id(p) for group in learner.algorithm.optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in policy.parameters()}
    versions, ages = [], []
    for phase in range(8, 13):
        versions.append({name: x.clone() for name, x in policy.state_dict().items()})
        rollout, _ = learner.begin(world.collect(policy, phase), phase, 0.0)
        learner.update(rollout, phase)
        learner.end_phase(rollout, phase, {})
        held = target.state_dict()
        (age,) = [i for i, v in enumerate(reversed(versions)) if all(torch.equal(v[name], held[name]) for name in v)]
        ages.append(age)
    assert ages == [0, 1, 0, 1, 0]
