"""When two means agree, in hand-worked numbers, and how often those of one policy do not."""

import itertools
import math

import numpy as np
import pytest

from lagbench.leaderboard import agreement
from lagbench.leaderboard.agreement import Sample


def test_a_sample() -> None:
    assert Sample.of([1.0, 2.0, 6.0]) == Sample(3.0, math.sqrt((4 + 1 + 9) / 2), 3)
    assert Sample.of([7.5]) == Sample(7.5, None, 1)


def test_sums_do_not_depend_on_the_order() -> None:
    returns = [1e16, 1.0, -1e16, 0.1, 0.2]
    assert len({Sample.of(order) for order in itertools.permutations(returns)}) == 1
    assert Sample.of(returns).mean == pytest.approx(1.3 / 5, rel=1e-15)


@pytest.mark.parametrize(
    ("claimed", "found", "z"),
    [
        # √(4²/4 + 6²/12) = √7
        (Sample(107.0, 4.0, 4), Sample(100.0, 6.0, 12), 7 / math.sqrt(7)),
        (Sample(93.0, 4.0, 4), Sample(100.0, 6.0, 12), -7 / math.sqrt(7)),
        (Sample(100.0, 0.0, 10), Sample(97.0, 3.0, 9), 3.0),
        (Sample(100.0, 0.0, 10), Sample(100.0, 0.0, 30), 0.0),
        (Sample(0.1 + 0.2, 1e-17, 10), Sample(0.3, 1e-17, 30), 0.0),
        (Sample(100.0, 0.0, 10), Sample(99.0, 0.0, 30), None),
        (Sample(100.0, None, 1), Sample(0.0, 1.0, 30), None),
    ],
)
def test_distance(claimed: Sample, found: Sample, z: float | None) -> None:
    assert agreement.distance(claimed, found) == (None if z is None else pytest.approx(z, rel=1e-12))


@pytest.mark.parametrize(
    ("claimed", "found", "agree"),
    [
        (Sample(100.0, 0.0, 10), Sample(97.0, 3.0, 9), True),
        (Sample(100.001, 0.0, 10), Sample(97.0, 3.0, 9), False),
        (Sample(93.999, 0.0, 10), Sample(97.0, 3.0, 9), False),
        (Sample(100.0, 0.0, 10), Sample(99.0, 0.0, 30), False),
        (Sample(100.0, None, 1), Sample(0.0, 1.0, 30), True),
    ],
)
def test_three_standard_errors(claimed: Sample, found: Sample, agree: bool) -> None:
    assert agreement.agree(claimed, found) is agree


@pytest.mark.parametrize(("n", "m", "spread"), [(10, 30, 1.0), (10, 30, 3.0), (10, 30, 0.3)])
def test_the_chance_is_how_often_it_happens(n: int, m: int, spread: float) -> None:
    """Of normal returns, where what is added up over many runs is the number that the board says."""
    rng = np.random.default_rng(0)
    pairs = [
        (Sample.of((spread * rng.standard_normal(n)).tolist()), Sample.of(rng.standard_normal(m).tolist()))
        for _ in range(20_000)
    ]
    flagged = np.mean([not agreement.agree(*pair) for pair in pairs])
    expected = np.mean([agreement.chance(*pair) for pair in pairs[:2000]])
    assert 0.003 < expected < 0.06
    assert 0.75 * expected < flagged < 1.3 * expected


def test_nothing_is_flagged_by_chance_where_nothing_varies() -> None:
    assert agreement.chance(Sample(1.0, 0.0, 10), Sample(1.0, 0.0, 30)) == 0.0
    assert agreement.chance(Sample(1.0, None, 1), Sample(1.0, 1.0, 30)) == 0.0
