"""PPO: −min(ρA, clip(ρ, 1 ± 0.2)·A), case by case."""

from __future__ import annotations

import pytest
import torch

from lagbench.baselines.ppo import PPO
from tests.baselines.tables import Table, batch, loss_and_gradient, make, numbers

BETA = -1.3


@pytest.mark.parametrize(
    ("ratio", "advantage", "term", "gradient"),
    [
        # Gone too far in the direction that pays: no gradient.
        (1.5, 2.0, 2.4, 0.0),
        (0.5, -2.0, -1.6, 0.0),
        # Gone too far in the direction that does not: pulled back without a clip.
        (1.5, -2.0, -3.0, -3.0),
        (0.5, 2.0, 1.0, 1.0),
        # Inside.
        (1.1, 2.0, 2.2, 2.2),
        (0.9, -2.0, -1.8, -1.8),
        (1.0, 2.0, 2.0, 2.0),
        (1.5, 0.0, 0.0, 0.0),
    ],
)
def test_each_case_alone(ratio: float, advantage: float, term: float, gradient: float) -> None:
    algorithm = make(PPO, Table(numbers(BETA) + numbers(ratio).log()))
    loss, slope, metrics = loss_and_gradient(algorithm, batch(numbers(BETA), numbers(advantage)))
    assert loss == pytest.approx(-term, rel=1e-12)
    assert slope.item() == pytest.approx(-gradient, rel=1e-12)
    if gradient == 0.0:
        assert slope.item() == 0.0
    assert metrics == {"clipped_fraction": float(abs(term - ratio * advantage) > 1e-9)}


def test_a_minibatch_is_the_mean() -> None:
    """Ratios 1.5, 0.5, 1.1 with A = 1: terms 1.2, 0.5, 1.1; one of three is clipped."""
    beta = numbers(-1.0, -2.0, -3.0)
    algorithm = make(PPO, Table(beta + numbers(1.5, 0.5, 1.1).log()))
    loss, slope, metrics = loss_and_gradient(algorithm, batch(beta, torch.ones_like(beta)))
    assert loss == pytest.approx(-2.8 / 3, rel=1e-12)
    assert slope.tolist() == pytest.approx([0.0, -0.5 / 3, -1.1 / 3], rel=1e-12)
    assert metrics["clipped_fraction"] == pytest.approx(1 / 3)


def test_clip_is_a_hyperparameter() -> None:
    algorithm = make(PPO, Table(numbers(1.5).log()), clip=0.4)
    assert loss_and_gradient(algorithm, batch(numbers(0.0), numbers(1.0)))[0] == pytest.approx(-1.4)


def test_the_proximal_policy_plays_no_part_in_the_loss() -> None:
    beta = numbers(-1.0, -2.0)
    algorithm = make(PPO, Table(beta + 0.1))
    near = loss_and_gradient(algorithm, batch(beta, numbers(1.0, -1.0)))
    far = loss_and_gradient(algorithm, batch(beta, numbers(1.0, -1.0), beta + 3.0))
    assert near[0] == far[0]
    assert torch.equal(near[1], far[1])


def test_language_divides_by_the_longest_completion_allowed() -> None:
    """Two completions of 3 and 1 valid tokens, 4 allowed: sum over 4 valid tokens / (2·4)."""
    beta = torch.full((3, 2), -1.0, dtype=torch.float64)
    valid = torch.tensor([[True, True], [True, False], [True, False]])
    advantage = numbers(1.0, -1.0).expand(3, 2)
    algorithm = make(PPO, Table(beta))
    loss, slope, _ = loss_and_gradient(algorithm, batch(beta, advantage, valid=valid, longest=4))
    assert loss == pytest.approx(-(3.0 - 1.0) / 8)
    assert torch.equal(slope, torch.where(valid, -advantage / 8, 0.0))
