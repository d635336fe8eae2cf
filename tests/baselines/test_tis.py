"""TIS: −min(w, 2)·min(rA, clip(r, 1 ± 0.2)·A) with r = π/π_T, w = π_T/β."""

from __future__ import annotations

import pytest

from lagbench.baselines.decoupled_ppo import DecoupledPPO
from lagbench.baselines.tis import TIS
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers


@pytest.mark.parametrize(
    ("r", "w", "advantage", "term", "gradient", "capped"),
    [
        (1.1, 4.0, 1.0, 2.2, 2.2, 1.0),  # the weight is held at 2
        (1.1, 0.5, 1.0, 0.55, 0.55, 0.0),
        (1.5, 4.0, 1.0, 2.4, 0.0, 1.0),  # clipped by r
        (1.5, 3.0, -1.0, -3.0, -3.0, 1.0),
    ],
)
def test_each_case_alone(r: float, w: float, advantage: float, term: float, gradient: float, capped: float) -> None:
    proximal = numbers(-1.0) + numbers(w).log()
    algorithm = make(TIS, Table(proximal + numbers(r).log()))
    loss, slope, metrics = loss_and_gradient(algorithm, batch(numbers(-1.0), numbers(advantage), proximal))
    assert loss == pytest.approx(-term, rel=1e-12)
    assert slope.item() == pytest.approx(-gradient, rel=1e-12)
    assert metrics == {"clipped_fraction": float(gradient == 0.0), "capped_fraction": capped}


def test_without_a_cap_it_is_decoupled_ppo() -> None:
    beta = numbers(-1.0, -2.0, -0.5)
    proximal, table = beta + numbers(3.0, 0.2, 1.0).log(), Table(beta + numbers(4.0, 0.3, 0.5).log())
    data = batch(beta, numbers(1.0, -2.0, 0.5), proximal)
    uncapped, plain = (
        loss_and_gradient(make(TIS, table, cap=1e9), data),
        loss_and_gradient(make(DecoupledPPO, table), data),
    )
    assert uncapped[0] == pytest.approx(plain[0], rel=1e-12)
    assert uncapped[1].tolist() == pytest.approx(plain[1].tolist(), rel=1e-12)
