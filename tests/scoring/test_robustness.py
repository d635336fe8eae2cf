"""Lag score, retention and tolerance of curves worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lagbench.scoring import robustness

LAGS = (0, 1, 3, 7)  # positions 0, 1, 2, 3
UPDATES = (8, 16, 32)  # positions 3, 4, 5
heights = st.lists(st.floats(0.01, 2), min_size=4, max_size=4).map(np.array)


def lag_score(*iqm: float) -> float:
    return float(robustness.lag_score(np.array(iqm), robustness.positions(LAGS, "lag")))


def tolerance(*iqm: float) -> float:
    return float(robustness.tolerance(np.array(iqm), LAGS, "lag", "first"))


def reuse(*iqm: float) -> float:
    return float(robustness.tolerance(np.array(iqm), UPDATES, "updates", "peak"))


def test_positions() -> None:
    assert robustness.positions((0, 1, 3, 64), "lag") == pytest.approx([0, 1, 2, np.log2(65)])
    assert robustness.positions((1, 8, 64), "updates") == pytest.approx([0, 3, 6])


def test_lag_score_is_the_mean_height() -> None:
    assert lag_score(0.7, 0.7, 0.7, 0.7) == pytest.approx(0.7)
    assert lag_score(1.0, 0.8, 0.4, 0.2) == pytest.approx((0.9 + 0.6 + 0.3) / 3)


def test_retention() -> None:
    assert robustness.retention(np.array([0.8, 0.4, 1.0]), "first") == pytest.approx([1, 0.5, 1.25])
    assert robustness.retention(np.array([0.4, 0.8, 0.2]), "peak") == pytest.approx([0.5, 1, 0.25])


def test_tolerance_between_two_lags() -> None:
    """From 1 at lag 1 to 0.8 at lag 3: 0.9 half way in log2(1 + L), at 2^1.5 − 1."""
    assert tolerance(1.0, 1.0, 0.8, 0.0) == pytest.approx(2**1.5 - 1)
    assert tolerance(1.0, 0.5, 1.0, 1.0) == pytest.approx(2**0.2 - 1)


def test_tolerance_that_is_never_reached_is_censored() -> None:
    assert tolerance(1.0, 0.95, 0.9, 0.9) == 7
    assert tolerance(0.5, 0.6, 0.7, 0.8) == 7


def test_a_negative_anchor_tolerates_nothing() -> None:
    assert tolerance(-1.0, 0.0, 1.0, 1.0) == 0


def test_reuse_is_relative_to_the_peak() -> None:
    assert reuse(0.1, 1.0, 0.8) == pytest.approx(2**4.5)
    assert reuse(0.1, 0.5, 1.0) == 32
    assert reuse(1.0, 0.5, 0.5) == pytest.approx(2**3.2)
    assert robustness.anchor("updates", "reuse") == "peak"
    assert robustness.anchor("updates", "split") == robustness.anchor("lag", "reuse") == "first"
    assert (robustness.anchor_value("lag"), robustness.anchor_value("updates")) == (0, 1)


@given(heights)
def test_many_at_once_are_as_one_by_one(iqm: NDArray[np.float64]) -> None:
    x = robustness.positions(LAGS, "lag")
    both = np.stack([iqm, iqm[::-1]])
    for relative_to in ("first", "peak"):
        found = robustness.tolerance(both, LAGS, "lag", relative_to)
        assert found[1] == robustness.tolerance(iqm[::-1], LAGS, "lag", relative_to)
        assert robustness.retention(both, relative_to)[1] == pytest.approx(robustness.retention(iqm[::-1], relative_to))
    assert robustness.lag_score(both, x)[0] == pytest.approx(float(robustness.lag_score(iqm, x)))


@given(heights, st.floats(0.1, 10))
def test_shares_do_not_know_the_scale(iqm: NDArray[np.float64], scale: float) -> None:
    """Which is why they rank nobody."""
    assert robustness.retention(iqm * scale, "first") == pytest.approx(robustness.retention(iqm, "first"))
    ours, theirs = (float(robustness.tolerance(x, LAGS, "lag", "first")) for x in (iqm, iqm * scale))
    assert 0 <= ours <= 7
    if (np.abs(iqm - 0.9 * iqm[0]) > 1e-9).all():
        assert ours == pytest.approx(theirs)


def test_an_anchor_of_nothing_gives_numbers() -> None:
    """In a replication; a percentile cannot be taken of NaN."""
    assert np.isfinite(robustness.retention(np.array([0.0, 0.5]), "first")).all()
    assert np.isfinite(robustness.retention(np.array([-1.0, 0.5]), "first")).all()
