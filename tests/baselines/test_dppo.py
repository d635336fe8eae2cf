"""DPPO: a token is dropped where its own gradient would take |π − β| further beyond delta."""

from __future__ import annotations

import pytest

from lagbench.baselines.dppo import DPPO
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers


@pytest.mark.parametrize(
    ("beta", "pi", "advantage", "weight", "masked"),
    [
        (0.5, 0.6, 1.0, 1.2, False),
        (0.5, 0.75, 1.0, 0.0, True),  # up by 0.25
        (0.5, 0.75, -1.0, 1.5, False),  # pulled back
        (0.5, 0.25, -1.0, 0.0, True),
        (0.5, 0.25, 1.0, 0.5, False),
        (0.001, 0.01, 1.0, 10.0, False),  # a ratio of 10 moves TV by 0.009
        (0.001, 0.1, 1.0, 20.0, False),  # of 100: the weight is held at 20
        (0.95, 0.7, -1.0, 0.0, True),  # a ratio of 0.74, which a clip of 0.3 lets pass
    ],
)
def test_each_case_alone(beta: float, pi: float, advantage: float, weight: float, masked: bool) -> None:
    """The gradient in log π is weight·A: nothing flows through weight and mask."""
    log_pi = numbers(pi).log()
    loss, slope, metrics = loss_and_gradient(make(DPPO, Table(log_pi)), batch(numbers(beta).log(), numbers(advantage)))
    assert loss == pytest.approx(-weight * advantage * log_pi.item(), rel=1e-12)
    assert slope.item() == pytest.approx(-weight * advantage, rel=1e-12)
    assert metrics == {"masked_fraction": float(masked)}
