"""VACO: what is aligned, and what is filtered, sample by sample."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from lagbench import Rollout, estimators
from lagbench.baselines.vaco import VACO
from tests.baselines.tables import CriticTable, Table, batch, loss_and_gradient, make, numbers

# Every sign of the advantage with every side of β.
CASES = list(itertools.product([1.0, 0.0, -1.0], [2.0, 1.0, 0.5]))
ADVANTAGE = numbers(*(a for a, _ in CASES))
RATIO = numbers(*(r for _, r in CASES))
KEPT = [
    False,  # A > 0 and ρ > 1: a step up would move ρ further from 1
    True,
    True,
    True,
    True,
    True,
    True,  # A < 0 and ρ > 1: a step moves ρ back
    True,
    False,
]
BETA = torch.linspace(-3.0, -1.0, 9, dtype=torch.float64)


def vaco(log_prob: Tensor, **config: Any) -> VACO:
    return make(VACO, Table(log_prob), **config)


def test_filter_sample_by_sample() -> None:
    """mean|ρ − 1| = (3·1 + 3·1/2)/9 = 1/2 > 0.2."""
    loss, slope, metrics = loss_and_gradient(vaco(BETA + RATIO.log()), batch(BETA, ADVANTAGE))
    for kept, ratio, advantage, gradient in zip(KEPT, RATIO, ADVANTAGE, slope, strict=True):
        if kept:
            assert gradient.item() == pytest.approx(-(ratio * advantage).item() / 9, rel=1e-12)
        else:
            assert gradient.item() == 0.0
    # The denominator is all nine: 1 + 0.5 − 2 − 1 over kept samples.
    assert loss == pytest.approx(1.5 / 9, rel=1e-12)
    assert metrics["minibatch_divergence"] == pytest.approx(0.5, rel=1e-12)
    assert metrics["filtered_fraction"] == pytest.approx(2 / 9)
    assert metrics["filter_active"] == 1.0


def test_below_the_threshold_everything_is_kept() -> None:
    loss, slope, metrics = loss_and_gradient(vaco(BETA + RATIO.log(), delta=0.6), batch(BETA, ADVANTAGE))
    assert torch.allclose(slope, -RATIO * ADVANTAGE / 9, rtol=1e-12)
    assert loss == pytest.approx(0.0, abs=1e-12)
    assert (metrics["filtered_fraction"], metrics["filter_active"]) == (0.0, 0.0)


def test_exactly_at_the_threshold_everything_is_kept() -> None:
    data = batch(BETA, ADVANTAGE)
    measured = loss_and_gradient(vaco(BETA + RATIO.log()), data)[2]["minibatch_divergence"]
    at = loss_and_gradient(vaco(BETA + RATIO.log(), delta=measured), data)[2]
    above = loss_and_gradient(vaco(BETA + RATIO.log(), delta=math.nextafter(measured, 0.0)), data)[2]
    assert (at["filtered_fraction"], at["filter_active"]) == (0.0, 0.0)
    assert above["filtered_fraction"] == pytest.approx(2 / 9)
    assert above["filter_active"] == 1.0


def test_delta_bounds_twice_the_total_variation() -> None:
    """δ = 0.2 is TV = 0.1: two samples with ρ = 1.21 and 0.79 have TV 0.105 and are filtered, 1.19 and 0.81 are not."""
    beta = numbers(-1.0, -1.0)
    for distance, active in [(0.21, 1.0), (0.19, 0.0)]:
        algorithm = vaco(beta + numbers(1 + distance, 1 - distance).log())
        assert loss_and_gradient(algorithm, batch(beta, numbers(1.0, 1.0)))[2]["filter_active"] == active


@pytest.mark.parametrize("log_ratio", [100.0, 1000.0])
def test_a_dropped_sample_has_no_gradient_even_where_its_ratio_overflows(log_ratio: float) -> None:
    """In fp32 exp(100) is infinite, and 0 times it NaN."""
    beta = torch.tensor([-1.0, -1.0])
    algorithm = vaco(beta + torch.tensor([log_ratio, -0.5]))
    loss, slope, metrics = loss_and_gradient(algorithm, batch(beta, torch.tensor([1.0, 1.0])))
    assert slope[0].item() == 0.0
    assert slope[1].item() == pytest.approx(-math.exp(-0.5) / 2, rel=1e-6)
    assert loss == pytest.approx(-math.exp(-0.5) / 2, rel=1e-6)
    assert metrics["filtered_fraction"] == 0.5


def test_no_gradient_comes_through_the_divergence() -> None:
    """The only kept sample has A = 0: what moves TV most leaves no gradient."""
    beta = numbers(-1.0, -1.0)
    _, slope, _ = loss_and_gradient(vaco(beta + numbers(3.0, 3.0).log()), batch(beta, numbers(1.0, 0.0)))
    assert slope.tolist() == [0.0, 0.0]


def test_filter_from_the_proximal_policy() -> None:
    """mean|ρ − w| and sign(log π − log π_T): the same samples lie on the other side of w = 4 or of w = 1/4."""
    for w, side in [(4.0, -1.0), (0.25, 1.0)]:
        log_w = torch.full_like(BETA, math.log(w))
        algorithm = vaco(BETA + RATIO.log(), reference="proximal")
        _, slope, metrics = loss_and_gradient(algorithm, batch(BETA, ADVANTAGE, BETA + log_w))
        kept = side * ADVANTAGE <= 0
        assert torch.allclose(slope, torch.where(kept, -RATIO * ADVANTAGE / 9, 0.0), rtol=1e-12)
        assert metrics["minibatch_divergence"] == pytest.approx((RATIO - w).abs().mean().item(), rel=1e-12)
        assert metrics["filter_active"] == 1.0


def test_ties_with_the_proximal_policy_are_kept() -> None:
    """At π = π_T nothing has moved: inactive, though far from β."""
    algorithm = vaco(BETA + RATIO.log(), reference="proximal", delta=0.0)
    metrics = loss_and_gradient(algorithm, batch(BETA, ADVANTAGE, BETA + RATIO.log()))[2]
    assert (metrics["filtered_fraction"], metrics["filter_active"], metrics["minibatch_divergence"]) == (0.0, 0.0, 0.0)


def test_filter_off() -> None:
    algorithm = vaco(BETA + RATIO.log(), filter=False)
    _, slope, metrics = loss_and_gradient(algorithm, batch(BETA, ADVANTAGE))
    assert torch.allclose(slope, -RATIO * ADVANTAGE / 9, rtol=1e-12)
    assert metrics["minibatch_divergence"] == pytest.approx(0.5)
    assert (metrics["filtered_fraction"], metrics["filter_active"]) == (0.0, 0.0)


def test_the_divergence_is_over_valid_samples() -> None:
    """A row of padding with a huge ratio neither counts nor is counted."""
    beta = torch.full((2, 2), -1.0, dtype=torch.float64)
    valid = torch.tensor([[True, True], [True, False]])
    log_ratio = torch.tensor([[0.1, -0.1], [0.1, 50.0]], dtype=torch.float64)
    data = batch(beta, torch.ones_like(beta), valid=valid, longest=2)
    _, slope, metrics = loss_and_gradient(vaco(beta + log_ratio), data)
    assert metrics["minibatch_divergence"] == pytest.approx((2 * math.expm1(0.1) - math.expm1(-0.1)) / 3)
    assert metrics["filter_active"] == 0.0
    assert slope[1, 1].item() == 0.0


def phase() -> tuple[Rollout, dict[str, Tensor]]:
    rng = torch.Generator().manual_seed(0)
    names = ("beta", "proximal", "reward", "value", "next_value")
    x = dict(zip(names, torch.randn(5, 6, 3, generator=rng, dtype=torch.float64), strict=True))
    x["terminated"], x["truncated"] = torch.rand(2, 6, 3, generator=rng) < 0.2
    columns = {k: x[k] for k in ("reward", "terminated", "truncated", "value", "next_value")}
    return batch(x["beta"], x["value"], x["proximal"], **columns), x


def aligned(**config: Any) -> tuple[Rollout, dict[str, Tensor]]:
    data, x = phase()
    policy = CriticTable(x["proximal"], x["value"], x["next_value"])
    return make(VACO, policy, standardize="none", **config).prepare(data), x


def test_align_is_v_trace_at_the_proximal_policy() -> None:
    prepared, x = aligned()
    columns = (x["reward"], x["value"], x["next_value"], x["terminated"], x["truncated"])
    trace = estimators.vtrace(*columns, 0.99, 0.95, x["proximal"] - x["beta"])
    assert torch.equal(prepared.advantage, trace.q - x["value"])
    assert torch.equal(prepared.value_target, trace.value_target)


def test_without_align_it_is_gae() -> None:
    prepared, x = aligned(align=False)
    columns = (x["reward"], x["value"], x["next_value"], x["terminated"], x["truncated"])
    advantage = estimators.gae(*columns, 0.99, 0.95)
    assert torch.equal(prepared.advantage, advantage)
    assert torch.equal(prepared.value_target, advantage + x["value"])


@pytest.mark.parametrize(("align", "critic", "logged"), [(True, True, 1.0), (False, True, 0.0), (True, False, 0.0)])
def test_whether_anything_is_aligned_is_logged(align: bool, critic: bool, logged: float) -> None:
    """Without a critic it cannot be: on language VACO is its filter."""
    prepared, x = aligned()
    policy = CriticTable(x["proximal"], x["value"], x["next_value"]) if critic else Table(x["proximal"])
    _, _, metrics = loss_and_gradient(make(VACO, policy, align=align), prepared)
    assert metrics["align_active"] == logged


def test_the_surrogate_counts_w_once() -> None:
    """At the first update π = π_T: the gradient is −w·(q − V)/n, not −w·min(1, w)·(q − V)/n."""
    prepared, x = aligned()
    policy = CriticTable(x["proximal"], x["value"], x["next_value"])
    algorithm = make(VACO, policy, filter=False, value_coef=0.0)
    _, slope, _ = loss_and_gradient(algorithm, prepared)
    w = (x["proximal"] - x["beta"]).exp()
    assert torch.allclose(slope, -w * prepared.advantage / w.numel(), rtol=1e-12)


def test_hyperparameters() -> None:
    config = VACO.Config()
    assert (config.delta, config.reference, config.align, config.filter) == (0.2, "behaviour", True, True)
    assert config.prepare_every == "phase"
