"""GePPO: −min(ρA, clip(ρ, w ± 0.2)·A), advantages of V-trace at w = π_T/β."""

from __future__ import annotations

import pytest
import torch

from lagbench import estimators
from lagbench.baselines.geppo import GePPO
from tests.baselines.tables import CriticTable, Table, batch, loss_and_gradient, make, numbers


@pytest.mark.parametrize(
    ("ratio", "w", "advantage", "term", "gradient"),
    [
        (2.5, 2.0, 1.0, 2.2, 0.0),
        (2.1, 2.0, 1.0, 2.1, 2.1),  # far from 1, but near w
        (1.0, 2.0, 1.0, 1.0, 1.0),
        (1.0, 2.0, -1.0, -1.8, 0.0),
        (0.25, 0.5, -1.0, -0.3, 0.0),
        (0.75, 0.5, -1.0, -0.75, -0.75),
        (1.0, 0.5, 1.0, 0.7, 0.0),  # at 1, but far from w
    ],
)
def test_each_case_alone(ratio: float, w: float, advantage: float, term: float, gradient: float) -> None:
    beta = numbers(-1.0)
    algorithm = make(GePPO, Table(beta + numbers(ratio).log()), standardize="none")
    loss, slope, _ = loss_and_gradient(algorithm, batch(beta, numbers(advantage), beta + numbers(w).log()))
    assert loss == pytest.approx(-term, rel=1e-12)
    assert slope.item() == pytest.approx(-gradient, rel=1e-12)
    if gradient == 0.0:
        assert slope.item() == 0.0


@pytest.mark.parametrize(
    ("standardize", "centre", "divisor"),
    [("full", 0.5, 4 / 3**0.5), ("scale", 0.0, 4 / 3**0.5), ("none", 0.0, 1.0)],
)
def test_advantages_are_standardized_with_weights(standardize: str, centre: float, divisor: float) -> None:
    """With w = 1, 2, 1 and A = 2, 1, −2: wA = 2, 2, −2, Σ wA/Σ w = 2/4, and wA has variance 16/3 (n − 1).

    At ρ = w nothing is clipped, and the gradient in log π is −w·A/3 with the A that results.
    """
    beta, w, advantage = numbers(-1.0, -2.0, -3.0), numbers(1.0, 2.0, 1.0), numbers(2.0, 1.0, -2.0)
    algorithm = make(GePPO, Table(beta + w.log()), standardize=standardize)
    # The harness leaves them as they are.
    assert algorithm.config.standardize_minibatch == "none"
    loss, slope, _ = loss_and_gradient(algorithm, batch(beta, advantage, beta + w.log()))
    expected = w * (advantage - centre) / divisor
    assert slope.tolist() == pytest.approx((-expected / 3).tolist(), rel=1e-7)
    assert loss == pytest.approx(-expected.mean().item(), rel=1e-7, abs=1e-12)


def test_one_sample_has_no_spread() -> None:
    """As elsewhere: it is centred to 0, and not scaled."""
    for standardize, expected in [("full", 0.0), ("scale", -4.0)]:
        algorithm = make(GePPO, Table(numbers(0.0)), standardize=standardize)
        assert loss_and_gradient(algorithm, batch(numbers(0.0), numbers(4.0)))[0] == expected


def test_advantages_are_v_trace_at_the_proximal_policy() -> None:
    rng = torch.Generator().manual_seed(0)
    beta, proximal, reward, value, following = torch.randn(5, 6, 3, generator=rng, dtype=torch.float64)
    ended = torch.rand(6, 3, generator=rng) < 0.2
    data = batch(beta, value, proximal, reward=reward, truncated=ended, value=value, next_value=following)
    algorithm = make(GePPO, CriticTable(proximal, value, following), standardize="none")
    prepared = algorithm.prepare(data)
    trace = estimators.vtrace(reward, value, following, ~data.valid, ended, 0.99, 0.95, proximal - beta)
    assert torch.equal(prepared.advantage, trace.q - value)
    assert torch.equal(prepared.value_target, trace.value_target)
