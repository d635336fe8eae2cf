"""Shares, quantiles and distances by hand."""

import pytest

from lagbench.lag.histogram import Histogram


def test_mean_95_percent_point_and_largest() -> None:
    found = Histogram.of([[0, 1], [1, 2]] * 10)
    assert found.counts == (10, 20, 10)
    assert (found.mean, found.largest) == (1.0, 2)
    assert [found.quantile(share) for share in (0.25, 0.26, 0.75, 0.76, 0.95, 1.0)] == [0, 1, 1, 2, 2, 2]
    assert found.summary() == "mean 1.00, 95% at most 2, largest 2"
    # 95 of 100 have lag 0: the 95% point is 0; of 94 it is not.
    assert Histogram.of([0] * 95 + [7] * 5).quantile(0.95) == 0
    assert Histogram.of([0] * 94 + [7] * 6).quantile(0.95) == 7


def test_kolmogorovs_distance_is_the_largest_between_the_cumulative_shares() -> None:
    one, other = Histogram.of([0, 1, 1, 2]), Histogram.of([1, 1, 3, 3])
    # Cumulative: 0.25, 0.75, 1, 1 and 0, 0.5, 0.5, 1.
    assert one.distance(other) == other.distance(one) == pytest.approx(0.5)
    assert one.distance(Histogram.of([2, 1, 0, 1] * 3)) == 0


def test_bars_are_as_long_as_shares_and_few() -> None:
    lines = Histogram.of([0] * 4 + [1] * 2 + [3]).lines()
    assert lines == [
        f"0   57.1%  {'█' * 40}",
        f"1   28.6%  {'█' * 20}",
        "2    0.0%",
        f"3   14.3%  {'█' * 10}",
    ]
    many = Histogram.of(range(100)).lines()
    assert len(many) <= 24
    assert many[0].startswith("  0-4    5.0%")
    assert many[-1].startswith("95-99    5.0%")
