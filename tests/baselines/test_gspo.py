"""GSPO: one ratio a completion, s = exp(mean of log ρ over its tokens), clipped as a whole.

Two completions of 3 and 1 tokens, 4 allowed. Token ratios 2, 1/2, 8 have s = 8^(1/3) = 2; the other has s = 1.1.
"""

from __future__ import annotations

import pytest
import torch

from lagbench.baselines.gspo import GSPO
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers

BETA = torch.full((3, 2), -1.0, dtype=torch.float64)
VALID = torch.tensor([[True, True], [True, False], [True, False]])
# What padding holds must not be read.
RATIO = torch.stack([numbers(2.0, 0.5, 8.0), numbers(1.1, 1e6, 1e-6)], dim=1)
ADVANTAGE = numbers(0.5, -0.5).expand(3, 2)


def test_two_completions_by_hand() -> None:
    """Clip 0.3, 1.5: nothing is clipped. (3·2·0.5 − 1.1·0.5)/8, and each token's gradient is s·A/8."""
    algorithm = make(GSPO, Table(BETA + RATIO.log()), clip=0.3, clip_high=1.5)
    loss, slope, metrics = loss_and_gradient(algorithm, batch(BETA, ADVANTAGE, valid=VALID, longest=4))
    assert loss == pytest.approx(-(3 * 2 * 0.5 - 1.1 * 0.5) / 8, rel=1e-12)
    assert slope[:, 0].tolist() == pytest.approx([-2 * 0.5 / 8] * 3, rel=1e-12)
    assert slope[:, 1].tolist() == pytest.approx([1.1 * 0.5 / 8, 0.0, 0.0], rel=1e-12)
    assert metrics == {"clipped_fraction": 0.0}


def test_a_completion_is_clipped_as_a_whole() -> None:
    """S = 2 is above 1.3 at A > 0: none of its tokens has a gradient, that of ratio 1/2 included. 3 of 4 tokens."""
    algorithm = make(GSPO, Table(BETA + RATIO.log()), clip=0.3, clip_high=0.3)
    loss, slope, metrics = loss_and_gradient(algorithm, batch(BETA, ADVANTAGE, valid=VALID, longest=4))
    assert loss == pytest.approx(-(3 * 1.3 * 0.5 - 1.1 * 0.5) / 8, rel=1e-12)
    assert slope[:, 0].tolist() == [0.0, 0.0, 0.0]
    assert slope[0, 1].item() == pytest.approx(1.1 * 0.5 / 8, rel=1e-12)
    assert metrics == {"clipped_fraction": 0.75}


def test_defaults_are_the_papers() -> None:
    assert (GSPO.Config().clip, GSPO.Config().clip_high) == (3e-4, 4e-4)
