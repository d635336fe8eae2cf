"""Decoupled PPO: −w·min(rA, clip(r, 1 ± 0.2)·A) with r = π/π_T, w = π_T/β."""

from __future__ import annotations

import pytest
import torch

from lagbench.baselines.decoupled_ppo import DecoupledPPO
from lagbench.baselines.ppo import PPO
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers


@pytest.mark.parametrize(
    ("r", "w", "advantage", "term", "gradient"),
    [
        (1.5, 0.5, 1.0, 0.5 * 1.2, 0.0),  # clipped by r, though ρ = 0.75 lies below 1
        (0.5, 2.0, -1.0, 2.0 * -0.8, 0.0),
        (1.5, 0.5, -1.0, -0.75, -0.75),
        (1.1, 4.0, 1.0, 4.4, 4.4),  # not clipped, though ρ = 4.4
        (0.5, 3.0, 1.0, 1.5, 1.5),
    ],
)
def test_each_case_alone(r: float, w: float, advantage: float, term: float, gradient: float) -> None:
    """The gradient in log π is w·r·A or 0: nothing comes through w, which holds no π."""
    beta = numbers(-1.0)
    proximal = beta + numbers(w).log()
    algorithm = make(DecoupledPPO, Table(proximal + numbers(r).log()))
    loss, slope, _ = loss_and_gradient(algorithm, batch(beta, numbers(advantage), proximal))
    assert loss == pytest.approx(-term, rel=1e-12)
    assert slope.item() == pytest.approx(-gradient, rel=1e-12)
    if gradient == 0.0:
        assert slope.item() == 0.0


def test_is_ppo_where_the_data_is_the_proximal_policy_s() -> None:
    torch.manual_seed(0)
    beta, advantage = torch.randn(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    table = Table(beta + 0.3 * torch.randn(50, dtype=torch.float64))
    data = batch(beta, advantage)
    one, two = (loss_and_gradient(make(cls, table), data) for cls in (PPO, DecoupledPPO))
    assert one[0] == two[0]
    assert torch.equal(one[1], two[1])
    assert one[2] == two[2]
