"""GRPO with clip-higher: −min(ρA, clip(ρ, 0.8, 1.28)·A), case by case."""

from __future__ import annotations

import pytest

from lagbench.baselines.grpo import GRPO
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers


@pytest.mark.parametrize(
    ("ratio", "advantage", "term", "gradient"),
    [
        (1.25, 2.0, 2.5, 2.5),  # PPO's clip of 0.2 would hold it
        (1.5, 2.0, 2.56, 0.0),
        (0.75, -2.0, -1.6, 0.0),
        (1.5, -2.0, -3.0, -3.0),
        (0.5, 2.0, 1.0, 1.0),
    ],
)
def test_each_case_alone(ratio: float, advantage: float, term: float, gradient: float) -> None:
    algorithm = make(GRPO, Table(numbers(-1.3) + numbers(ratio).log()))
    loss, slope, metrics = loss_and_gradient(algorithm, batch(numbers(-1.3), numbers(advantage)))
    assert loss == pytest.approx(-term, rel=1e-12)
    assert slope.item() == pytest.approx(-gradient, rel=1e-12)
    assert metrics == {"clipped_fraction": float(gradient == 0.0)}


def test_its_advantages_are_scaled_by_the_group() -> None:
    assert GRPO.preset("language")["standardize"] == "group"
