"""PPO-EWMA: −w·min(rA, clip(r, 1 ± 0.2)·A) with r = π/π_prox, w = π_prox/β, and the average that π_prox is."""

from __future__ import annotations

import pytest
import torch

from lagbench.baselines.decoupled_ppo import DecoupledPPO
from lagbench.baselines.ppo_ewma import PPOEWMA
from lagbench.learner import Learner
from lagbench.policies.gaussian import GaussianPolicy
from lagbench.synthetic import ControlWorld
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers


def placed(log_ratio: float, log_w: float, **config: float) -> PPOEWMA:
    """β at log-probability −1, the average log_w above it, the policy log_ratio above that."""
    algorithm = make(PPOEWMA, Table(numbers(-1 + log_w)), **config)
    table = algorithm.policy
    assert isinstance(table, Table)
    table.log_prob.data += log_ratio
    return algorithm


@pytest.mark.parametrize(
    ("r", "w", "advantage", "term", "gradient"),
    [
        (1.5, 0.5, 1.0, 0.5 * 1.2, 0.0),  # clipped by r, though ρ = 0.75 lies below 1
        (0.5, 2.0, -1.0, 2.0 * -0.8, 0.0),
        (1.5, 0.5, -1.0, -0.75, -0.75),
        (1.1, 4.0, 1.0, 4.4, 4.4),
        # ρ = 250 and 150 are bounded by 100: w·r is 100, and its gradient w·r·A.
        (1.0, 250.0, 1.0, 100.0, 100.0),
        (1.5, 100.0, -2.0, -200.0, -200.0),
        (1.5, 100.0, 2.0, 2 * 100 * 1.2 / 1.5, 0.0),
    ],
)
def test_each_case_alone(r: float, w: float, advantage: float, term: float, gradient: float) -> None:
    """Whatever the harness says the proximal policy is: the average replaces it."""
    algorithm = placed(numbers(r).log().item(), numbers(w).log().item())
    data = batch(numbers(-1.0), numbers(advantage), numbers(5.0))
    loss, slope, _ = loss_and_gradient(algorithm, data)
    assert loss == pytest.approx(-term, rel=1e-12)
    assert slope.item() == pytest.approx(-gradient, rel=1e-12)


def test_the_average_weighs_by_age() -> None:
    """Weights 0, 1, 2, 4 and decay 1/2: (4 + 2/2 + 1/4 + 0/8) / (1 + 1/2 + 1/4 + 1/8) = 5.25/1.875 = 2.8."""
    algorithm = make(PPOEWMA, Table(numbers(0.0)), decay=0.5, max_grad_norm=float("inf"))
    table, average = algorithm.policy, algorithm.proximal
    assert isinstance(table, Table)
    assert isinstance(average, Table)
    algorithm.optimizer = torch.optim.SGD(table.parameters(), lr=1.0)
    seen = []
    for step in (1.0, 1.0, 2.0):
        algorithm.step(-step * table.log_prob.sum(), {})
        seen.append(average.log_prob.item())
    assert table.log_prob.item() == 4.0
    assert seen == pytest.approx([1 / 1.5, 2.5 / 1.75, 2.8], rel=1e-6)


def test_the_default_decay_has_its_centre_of_mass_eight_updates_back() -> None:
    decay = PPOEWMA.Config().decay
    assert decay / (1 - decay) == pytest.approx(8.0, abs=0.02)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_a_phase_of_updates(decay: float) -> None:
    """Without a memory the average is the policy; with one it lags behind. Neither is what the optimizer trains."""
    world = ControlWorld()
    config = PPOEWMA.Config(decay=decay, learning_rate=1e-2)
    learner = Learner(PPOEWMA, vars(config), world.policy(), world.protocol(8), 0, exact_log_prob=True)
    assert isinstance(learner.algorithm, PPOEWMA)
    policy, average = learner.policy, learner.algorithm.proximal
    trained = {id(p) for group in learner.algorithm.optimizer.param_groups for p in group["params"]}
    assert trained == {id(p) for p in policy.parameters()}
    rollout, _ = learner.begin(world.collect(policy, 8), 8, 0.0)
    learner.update(rollout, 8)
    for mine, theirs in zip(average.parameters(), policy.parameters(), strict=True):
        assert not mine.requires_grad
        assert torch.equal(mine, theirs) == (decay == 0.0)
    # The normalizer takes in the phase; the average follows at the next.
    learner.end_phase(rollout, 8, {})
    rollout, _ = learner.begin(world.collect(policy, 9), 9, 0.1)
    learner.update(rollout, 9)
    assert isinstance(policy, GaussianPolicy)
    assert isinstance(average, GaussianPolicy)
    assert torch.equal(average.normalizer.mean, policy.normalizer.mean)


def test_is_decoupled_ppo_until_the_first_update() -> None:
    beta, proximal = numbers(-1.0, -2.0, -3.0), numbers(-1.2, -1.7, -3.1)
    data = batch(beta, numbers(1.0, -1.0, 2.0), proximal)
    one, two = (loss_and_gradient(make(cls, Table(proximal)), data) for cls in (PPOEWMA, DecoupledPPO))
    assert one[0] == pytest.approx(two[0], rel=1e-12)
    assert torch.allclose(one[1], two[1], rtol=1e-12)
