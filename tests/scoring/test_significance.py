"""p-values and Holm's correction, by hand."""

from __future__ import annotations

from math import sqrt

import pytest
from scipy import stats

from lagbench.scoring.significance import LEVEL, holm, p_value, smallest, two_samples


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04: times 4, 3, 2, 1, none below one before it.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


def test_holm_is_the_step_down_procedure() -> None:
    """Rejected is as long as the i-th smallest of m is below level / (m − i + 1)."""
    values = [0.001, 0.012, 0.015, 0.024, 0.3]
    expected, going = [], True
    for i, p in enumerate(values):
        going = going and p <= LEVEL / (len(values) - i)
        expected.append(going)
    assert [p <= LEVEL for p in holm(values)] == expected == [True, True, True, True, False]


def test_the_p_value_is_of_a_t_with_the_error_that_a_bootstrap_understates() -> None:
    # Two of five runs on three tasks: 24 degrees; the bootstrap's 0.08 is √(4/5) of the standard error.
    t = 0.2 / (0.08 * sqrt(5 / 4))
    assert p_value(0.2, 0.08, 5, 3) == p_value(-0.2, 0.08, 5, 3) == pytest.approx(2 * (1 - stats.t.cdf(t, 24)))
    assert p_value(0.0, 0.08, 5, 3) == 1.0


def test_without_any_spread_a_difference_is_certain_and_none_is_none() -> None:
    assert (p_value(0.1, 0.0, 3, 2), p_value(0.0, 0.0, 3, 2)) == (0.0, 1.0)


def test_the_smallest_that_a_permutation_can_give() -> None:
    """Two runs against two can be dealt out in six ways, in two of which all of one entry is above the other's."""
    assert smallest(2, 1) == 2 / 6
    assert smallest(2, 4) == 2 / 6**4
    assert smallest(10, 400) == 0.0


def test_two_samples_by_hand() -> None:
    """Means 2 and 6, squares 2 + 2 over 4 degrees: s = 1, t = 4 / √(2/3) = 4.899, of which 0.805% is beyond."""
    assert two_samples([1.0, 2.0, 3.0], [5.0, 6.0, 7.0]) == pytest.approx(0.008050, abs=1e-6)
    assert two_samples([1.0, 2.0, 4.0], [5.0, 7.0]) == pytest.approx(stats.ttest_ind([1, 2, 4], [5, 7]).pvalue)
    # One run against three: it has no spread of its own. t = 4 / √(1 · 4/3), 2 degrees.
    assert two_samples([6.0], [1.0, 2.0, 3.0]) == pytest.approx(2 * stats.t.sf(4 / (4 / 3) ** 0.5, 2))


def test_two_samples_without_spread() -> None:
    assert two_samples([1.0], [2.0]) is None
    assert two_samples([1.0, 1.0], [1.0]) == 1.0
    assert two_samples([1.0, 1.0], [2.0]) == 0.0
