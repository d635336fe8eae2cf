"""Divergences against distances of small distributions, which samples in exact proportion must give exactly."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lagbench.divergence import ess, kl, tv

JUNK = [0.0, 1e30, float("nan"), float("inf"), float("-inf")]

# Four actions; β's eighths are how often each is sampled, so that a mean over the samples is a mean under β.
BEHAVIOUR = torch.tensor([4, 2, 1, 1])
CURRENT = torch.tensor([1, 2, 1, 4])
PROXIMAL = torch.tensor([2, 1, 1, 4])

searched = settings(max_examples=60, deadline=None, derandomize=True)
weights = st.lists(st.integers(1, 9), min_size=4, max_size=4)
log_ratios = st.lists(st.floats(-20.0, 20.0), min_size=1, max_size=20)


def log_ratio(policy: Tensor, behaviour: Tensor) -> Tensor:
    """Log of policy/behaviour at samples of the behaviour policy in exact proportion; both in any unit."""
    p, b = (x.double() / x.sum() for x in (policy, behaviour))
    return torch.repeat_interleave((p / b).log(), behaviour)


def distance(p: Tensor, q: Tensor) -> float:
    """Total variation by its definition."""
    return 0.5 * float((p.double() / p.sum() - q.double() / q.sum()).abs().sum())


RHO, W = log_ratio(CURRENT, BEHAVIOUR), log_ratio(PROXIMAL, BEHAVIOUR)


def test_by_hand() -> None:
    """Distances in eighths; ratios 1/4 (4 times), 1, 1, 1, 4."""
    assert float(tv(RHO)) == pytest.approx(3 / 8, rel=1e-14)  # (3 + 0 + 0 + 3)/16
    assert float(tv(W)) == pytest.approx(3 / 8, rel=1e-14)  # (2 + 1 + 0 + 3)/16
    assert float(tv(RHO, W)) == pytest.approx(1 / 8, rel=1e-14)  # (1 + 1 + 0 + 0)/16
    assert float(kl(RHO)) == pytest.approx(0.75 * math.log(2), rel=1e-14)  # 4/8·ln 4 - 1/8·ln 4 = 3/8·ln 4
    assert float(ess(RHO)) == pytest.approx(32 / 77, rel=1e-14)  # 8²/(8·(4/16 + 3 + 16)) = 64/154


@searched
@given(weights, weights, weights)
def test_divergences_are_those_of_the_distributions(behaviour: list[int], current: list[int], other: list[int]) -> None:
    """Enumerated exactly, every estimate is its definition."""
    b, p, q = torch.tensor(behaviour), torch.tensor(current), torch.tensor(other)
    rho, w = log_ratio(p, b), log_ratio(q, b)
    assert float(tv(rho)) == pytest.approx(distance(p, b), abs=1e-13)
    assert float(tv(rho, w)) == pytest.approx(distance(p, q), abs=1e-13)
    assert float(tv(w, rho)) == pytest.approx(distance(p, q), abs=1e-13)
    beta, pi = b.double() / b.sum(), p.double() / p.sum()
    assert float(kl(rho)) == pytest.approx(float((beta * (beta / pi).log()).sum()), abs=1e-13)
    # Under β the mean of ratios is 1: ESS is one over the mean of their squares.
    assert float(ess(rho)) == pytest.approx(1 / float((pi.square() / beta).sum()), rel=1e-12)


@searched
@given(log_ratios)
def test_ranges(numbers: list[float]) -> None:
    """TV and KL at least 0, ESS from 1/n to 1, in both precisions."""
    for dtype, slack in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        x = torch.tensor(numbers, dtype=dtype)
        assert 0.0 <= float(tv(x)) < math.inf
        assert 0.0 <= float(kl(x)) < math.inf
        assert (1 - slack) / len(x) <= float(ess(x)) <= 1.0
        assert float(tv(x, x)) == 0.0


@pytest.mark.parametrize("n", [1, 1000])
def test_equal_policies(n: int) -> None:
    """No distance at a ratio of 1, and all samples count."""
    x = torch.zeros(n)
    assert float(tv(x)) == 0.0
    assert float(kl(x)) == 0.0
    assert float(ess(x)) == 1.0


@searched
@given(st.floats(-1e-3, 1e-3))
def test_small_ratios_keep_their_digits(number: float) -> None:
    """Close to 1, TV is |log rho|/2 and KL (log rho)²/2, which in float32 would be lost by forming rho first."""
    x = torch.tensor([number, number], dtype=torch.float32)
    assert float(tv(x)) == pytest.approx(abs(number) / 2, rel=1e-3, abs=1e-30)
    assert float(kl(x)) == pytest.approx(number**2 / 2, rel=1e-2, abs=1e-9)
    assert float(kl(x)) >= 0.0


@pytest.mark.parametrize("number", [-1e4, 0.3, 1e4])
def test_ess_of_constant_ratios_is_one(number: float) -> None:
    """A common factor cancels, beyond the range of floats too."""
    assert float(ess(torch.full((7,), number))) == 1.0


def test_ess_of_nearly_constant_ratios_is_at_most_one() -> None:
    """Rounding does not lift it above 1."""
    draw = torch.Generator().manual_seed(0)
    assert all(float(ess(1e-4 * torch.randn(11, generator=draw))) <= 1.0 for _ in range(300))


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_ess_is_stable(shift: float) -> None:
    """Weights 1, 1, 2 at any level: 16/(3·6); a sample without weight only counts in n: 16/(4·6)."""
    x = torch.tensor([0.0, 0.0, math.log(2.0)], dtype=torch.float64) + shift
    assert float(ess(x)) == pytest.approx(16 / 18, rel=1e-9)
    nothing = torch.tensor([-torch.inf], dtype=torch.float64)
    assert float(ess(torch.cat([x, nothing]))) == pytest.approx(16 / 24, rel=1e-9)


@pytest.mark.parametrize("junk", JUNK)
def test_only_valid_samples_count(junk: float) -> None:
    """Junk between the samples, a reset row's, changes nothing; counted as valid it would."""
    spent = torch.full_like(RHO, junk)
    rho, w = torch.stack([RHO, spent]), torch.stack([W, spent])
    valid = torch.stack([torch.ones_like(RHO), torch.zeros_like(RHO)]).bool()
    assert float(tv(rho, valid=valid)) == pytest.approx(float(tv(RHO)), rel=1e-14)
    assert float(tv(rho, w, valid)) == pytest.approx(float(tv(RHO, W)), rel=1e-14)
    assert float(kl(rho, valid)) == pytest.approx(float(kl(RHO)), rel=1e-14)
    assert float(ess(rho, valid)) == pytest.approx(float(ess(RHO)), rel=1e-14)
    if junk == 0.0:
        assert float(tv(rho)) == pytest.approx(float(tv(RHO)) / 2)
        assert float(kl(rho)) == pytest.approx(float(kl(RHO)) / 2)
        assert float(ess(rho)) != pytest.approx(float(ess(RHO)), rel=1e-2)


def test_nan_in_a_valid_sample_is_not_hidden() -> None:
    """A policy that diverged shows."""
    x = torch.tensor([0.0, float("nan")])
    assert all(bool(f(x).isnan()) for f in (tv, kl, ess))


@pytest.mark.parametrize("junk", JUNK)
def test_gradients(junk: float) -> None:
    """By hand: ½·sign(rho - 1)·rho/n, ½·sign(rho - w)·rho/n and (rho - 1)/n; exactly 0 where not valid."""
    x = torch.tensor([math.log(2.0), math.log(0.5), junk], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([math.log(4.0), math.log(0.25), junk], dtype=torch.float64)
    valid = torch.tensor([True, True, False])
    for result, expected in (
        (tv(x, valid=valid), [0.5, -0.125, 0.0]),
        (tv(x, reference, valid), [-0.5, 0.125, 0.0]),
        (kl(x, valid), [0.5, -0.25, 0.0]),
    ):
        assert torch.autograd.grad(result, x)[0].tolist() == pytest.approx(expected, rel=1e-14)
    (gradient,) = torch.autograd.grad(ess(x, valid), x)
    assert gradient.isfinite().all()
    assert gradient[2] == 0.0


def test_scalars_of_any_shape_without_gradient() -> None:
    """Any shape in, a scalar of the same dtype out, under no_grad too."""
    with torch.no_grad():
        for shape in ((3,), (2, 3), (2, 3, 4)):
            x = torch.randn(shape, generator=torch.Generator().manual_seed(0), requires_grad=True)
            valid = torch.ones(shape, dtype=torch.bool)
            for result in (tv(x), tv(x, -x), tv(x, -x, valid), kl(x), kl(x, valid), ess(x), ess(x, valid)):
                assert result.shape == ()
                assert result.dtype == torch.float32
                assert not result.requires_grad


@pytest.mark.parametrize("function", [tv, kl, ess])
def test_bad_samples(function: Callable[..., Tensor]) -> None:
    """What does not fit is named with what it is; a mean over nothing is an error."""
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"valid must have log_ratio's shape; got \[3\] for \[2, 3\]"):
        function(x, valid=torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"valid must be bool; got torch\.float32"):
        function(x, valid=torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"log_ratio must be floating; got torch\.int64"):
        function(x.long())
    with pytest.raises(ValueError, match="at least one valid sample; got none of 6"):
        function(x, valid=torch.zeros(2, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="at least one valid sample; got none of 0"):
        function(torch.zeros(0))


@pytest.mark.parametrize("reference", [torch.zeros(3), torch.zeros(2, 3, dtype=torch.float64)])
def test_bad_reference(reference: Tensor) -> None:
    """The reference is of the same samples."""
    with pytest.raises(ValueError, match="log_reference must have log_ratio's shape and dtype"):
        tv(torch.zeros(2, 3), reference)
