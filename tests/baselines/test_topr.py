"""TOPR: right completions at weight 1, wrong ones at min(1, π(y)/β(y)) of the whole completion.

Three completions of 2, 2 and 1 tokens, 2 allowed; token ratios (3, 2), (1/2, 1/5) and 4.
"""

from __future__ import annotations

import pytest
import torch

from lagbench.baselines.topr import TOPR
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers

BETA = torch.full((2, 3), -1.0, dtype=torch.float64)
VALID = torch.tensor([[True, True, True], [True, True, False]])
RATIO = torch.stack([numbers(3.0, 2.0), numbers(0.5, 0.2), numbers(4.0, 1e-6)], dim=1)


def test_by_hand() -> None:
    """A = 1, −1/2, −1/2: weights 1, 1/10, 1; each token's gradient is weight·A/6."""
    advantage = numbers(1.0, -0.5, -0.5).expand(2, 3)
    loss, slope, metrics = loss_and_gradient(
        make(TOPR, Table(BETA + RATIO.log())), batch(BETA, advantage, valid=VALID, longest=2)
    )
    expected = torch.tensor([[1.0, -0.05, -0.5], [1.0, -0.05, 0.0]], dtype=torch.float64) / 6
    assert slope.flatten().tolist() == pytest.approx((-expected).flatten().tolist(), rel=1e-12)
    log_pi = torch.where(VALID, BETA + RATIO.log(), 0.0)
    assert loss == pytest.approx(-(expected * log_pi).sum().item(), rel=1e-12)
    assert metrics == {"mean_weight": pytest.approx((1 + 1 + 0.1 + 0.1 + 1) / 5)}


def test_an_unlikely_right_completion_keeps_its_weight() -> None:
    advantage = numbers(1.0, 1.0, 1.0).expand(2, 3)
    _, slope, _ = loss_and_gradient(make(TOPR, Table(BETA + RATIO.log())), batch(BETA, advantage, longest=2))
    assert torch.allclose(slope, -torch.ones_like(slope) / 6)
