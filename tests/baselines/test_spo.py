"""SPO: −(ρA − |A|(ρ − 1)²/(2ε)), ε = 0.2."""

from __future__ import annotations

import pytest

from lagbench.baselines.spo import SPO
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers


@pytest.mark.parametrize("advantage", [1.0, -1.0, 3.0, -0.25])
@pytest.mark.parametrize("epsilon", [0.2, 0.5])
def test_the_optimum_is_one_epsilon_away(advantage: float, epsilon: float) -> None:
    """The gradient in log π is −ρ(A − |A|(ρ − 1)/ε): 0 at ρ = 1 + ε·sign A, and towards it from both sides."""
    sign = 1 if advantage > 0 else -1
    for offset, direction in [(0.0, 0), (0.05, -1), (-0.05, 1)]:
        ratio = 1 + sign * epsilon + offset
        algorithm = make(SPO, Table(numbers(-1.0) + numbers(ratio).log()), epsilon=epsilon)
        _, slope, _ = loss_and_gradient(algorithm, batch(numbers(-1.0), numbers(advantage)))
        step = -slope.item()
        assert step == pytest.approx(0.0, abs=1e-12) if direction == 0 else step * direction > 0


def test_loss_by_hand() -> None:
    """ρ = 1.5, A = −2: ρA = −3, penalty 2·0.25/0.4 = 1.25. ρ = 0.9, A = 1: 0.9 − 0.01/0.4 = 0.875."""
    beta = numbers(-1.0, -2.0)
    algorithm = make(SPO, Table(beta + numbers(1.5, 0.9).log()))
    loss, slope, metrics = loss_and_gradient(algorithm, batch(beta, numbers(-2.0, 1.0)))
    assert loss == pytest.approx(-(-4.25 + 0.875) / 2, rel=1e-12)
    # −ρ(A − |A|(ρ−1)/ε)/2: −1.5(−2 − 5)/2 and −0.9(1 + 0.5)/2.
    assert slope.tolist() == pytest.approx([1.5 * 7 / 2, -0.9 * 1.5 / 2], rel=1e-12)
    assert metrics == {"outside_fraction": 0.5}
