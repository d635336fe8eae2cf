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
    algorithm = make(GePPO, Table(beta + numbers(ratio).log()))
    loss, slope, _ = loss_and_gradient(algorithm, batch(beta, numbers(advantage), beta + numbers(w).log()))
    assert loss == pytest.approx(-term, rel=1e-12)
    assert slope.item() == pytest.approx(-gradient, rel=1e-12)
    if gradient == 0.0:
        assert slope.item() == 0.0


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
