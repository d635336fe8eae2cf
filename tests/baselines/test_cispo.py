"""CISPO: −sg(min(ρ, 1.28))·A·log π."""

from __future__ import annotations

import pytest

from lagbench.baselines.cispo import CISPO
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers


@pytest.mark.parametrize(
    ("ratio", "advantage", "weight"), [(1.1, 2.0, 1.1), (3.0, 2.0, 1.28), (3.0, -2.0, 1.28), (0.01, -2.0, 0.01)]
)
def test_each_case_alone(ratio: float, advantage: float, weight: float) -> None:
    """Nothing flows through the weight: the gradient in log π is weight·A, and never 0."""
    log_pi = numbers(-4.0) + numbers(ratio).log()
    loss, slope, metrics = loss_and_gradient(make(CISPO, Table(log_pi)), batch(numbers(-4.0), numbers(advantage)))
    assert loss == pytest.approx(-weight * advantage * log_pi.item(), rel=1e-12)
    assert slope.item() == pytest.approx(-weight * advantage, rel=1e-12)
    assert metrics == {"capped_fraction": float(ratio > 1.28)}
