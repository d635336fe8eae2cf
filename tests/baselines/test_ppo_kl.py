"""PPO-KL: −ρA + b·mean(ρ − 1 − log ρ), and how b moves."""

from __future__ import annotations

import math

import pytest

from lagbench.baselines.ppo_kl import PPOKL
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers


def test_loss_and_gradient_by_hand() -> None:
    """d/dlog π of −ρA + b(ρ − 1 − log ρ) is −ρA + b(ρ − 1)."""
    beta = numbers(-1.0, -2.0)
    algorithm = make(PPOKL, Table(beta + numbers(2.0, 0.5).log()))
    algorithm.penalty.fill_(3.0)
    loss, slope, metrics = loss_and_gradient(algorithm, batch(beta, numbers(1.0, -1.0)))
    kl = [2 - 1 - math.log(2), 0.5 - 1 + math.log(2)]
    assert loss == pytest.approx((-2.0 + 0.5) / 2 + 3 * sum(kl) / 2, rel=1e-12)
    assert slope.tolist() == pytest.approx([(-2 + 3 * 1) / 2, (0.5 - 3 * 0.5) / 2], rel=1e-12)
    assert metrics == {"penalty": 3.0}


def test_the_penalty_starts_at_1() -> None:
    assert make(PPOKL, Table(numbers(0.0))).penalty.item() == 1.0


@pytest.mark.parametrize(
    ("kl", "factor"),
    [
        (0.0, 0.5),
        (0.0066, 0.5),  # below d/1.5 = 0.00667
        (0.0067, 1.0),
        (0.01, 1.0),
        (0.0149, 1.0),
        (0.0151, 2.0),  # above 1.5·d
        (math.inf, 2.0),
    ],
)
def test_adaptation(kl: float, factor: float) -> None:
    algorithm = make(PPOKL, Table(numbers(0.0)))
    algorithm.penalty.fill_(4.0)
    algorithm.end_phase({"kl": kl})
    assert algorithm.penalty.item() == 4.0 * factor


@pytest.mark.parametrize(("kl", "bound"), [(0.0, 1e-3), (1.0, 1e3)])
def test_the_penalty_is_bounded(kl: float, bound: float) -> None:
    algorithm = make(PPOKL, Table(numbers(0.0)))
    for _ in range(30):
        algorithm.end_phase({"kl": kl})
    assert algorithm.penalty.item() == pytest.approx(bound)


def test_the_target_is_a_hyperparameter() -> None:
    algorithm = make(PPOKL, Table(numbers(0.0)), target_kl=1.0)
    algorithm.end_phase({"kl": 0.5})
    assert algorithm.penalty.item() == 0.5


def test_what_is_logged_is_no_view_of_the_penalty() -> None:
    """Metrics are converted after the phase, when b may have moved."""
    algorithm = make(PPOKL, Table(numbers(0.0)))
    _, metrics = algorithm.loss(batch(numbers(0.0), numbers(1.0)))
    algorithm.end_phase({"kl": 1.0})
    assert float(metrics["penalty"]) == 1.0
