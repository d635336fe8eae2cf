"""M2PO: of the tokens that lead away from β, those of largest (log ρ)² are dropped until the mean is the budget."""

from __future__ import annotations

import pytest
import torch

from lagbench.baselines.m2po import M2PO
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers

# Squares 0.01, 0.04, 0.09 lead away; the last two lead back, however far they are.
LOG_RATIO = numbers(0.1, -0.2, 0.3, -2.0, 3.0)
ADVANTAGE = numbers(1.0, -1.0, 2.0, 1.0, -1.0)
BETA = numbers(-1.0, -1.0, -1.0, -3.0, -4.0)


@pytest.mark.parametrize(
    ("budget", "kept"),
    [
        (0.05, [True, True, True]),  # the mean of all three, 0.0467, is within
        (0.04, [True, True, False]),  # of the smaller two 0.025
        (0.02, [True, False, False]),
        (0.001, [False, False, False]),
    ],
)
def test_by_hand(budget: float, kept: list[bool]) -> None:
    algorithm = make(M2PO, Table(BETA + LOG_RATIO), budget=budget)
    loss, slope, metrics = loss_and_gradient(algorithm, batch(BETA, ADVANTAGE))
    terms = torch.where(torch.tensor([*kept, True, True]), LOG_RATIO.exp() * ADVANTAGE, 0.0) / 5
    assert loss == pytest.approx(-terms.sum().item(), rel=1e-12)
    assert slope.tolist() == pytest.approx((-terms).tolist(), rel=1e-12)
    assert metrics == {"masked_fraction": pytest.approx(kept.count(False) / 5, abs=1e-6)}


def test_padding_and_what_pushes_nowhere_do_not_count() -> None:
    """Beside a token of 0.09: padding, and tokens without an advantage, would let it pass."""
    log_ratio = torch.stack([numbers(0.3, 0.0), numbers(0.1, 0.1)], dim=1)
    valid = torch.tensor([[True, True], [True, False]])
    beta, advantage = torch.zeros(2, 2, dtype=torch.float64), numbers(1.0, 0.0).expand(2, 2)
    algorithm = make(M2PO, Table(beta + log_ratio), budget=0.05)
    _, slope, metrics = loss_and_gradient(algorithm, batch(beta, advantage, valid=valid, longest=2))
    assert slope[0, 0].item() == 0.0
    assert slope[1, 0].item() == pytest.approx(-1 / 4)
    assert metrics == {"masked_fraction": pytest.approx(1 / 3)}


def test_a_dropped_token_that_overflows_has_no_gradient() -> None:
    algorithm = make(M2PO, Table(numbers(0.0, 0.0)))
    _, slope, _ = loss_and_gradient(algorithm, batch(numbers(-1e4, 0.0), numbers(1.0, 1.0)))
    assert slope.tolist() == [0.0, -0.5]
