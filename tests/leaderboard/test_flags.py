"""Claims against reruns, and lag that may be switched off: worked by hand."""

from __future__ import annotations

import pytest

from lagbench.leaderboard import flags
from lagbench.scoring import significance
from tests.scoring import synthetic


def test_a_claim_differs_where_it_does() -> None:
    """One cell of four is far off; with Holm's correction over four cells and the lag score."""
    rerun = {0: [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], 4: [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]]}
    claim = {0: [[1.0, 2.0, 3.0], [2.0, 3.0, 1.0]], 4: [[21.0, 22.0, 23.0], [3.0, 2.0, 1.0]]}
    scores = synthetic.scores(synthetic.lags({"a rerun": rerun, "b claim": claim}))
    found = flags.agreement(scores, 0.5)
    alone = significance.two_samples([1.0, 2.0, 3.0], [21.0, 22.0, 23.0])
    assert alone is not None
    assert [(one.task, one.value, one.claimed, one.found) for one in found.cells if one.apart] == [
        ("HalfCheetah-v5", 4, 22.0, 2.0)
    ]
    assert min(one.p for one in found.cells) == pytest.approx(5 * alone)
    assert found.lag_score == 1.0  # 0.5 times those that are as large
    assert found.apart
    assert not flags.Agreement(significance.LEVEL + 0.01, ()).apart
    assert flags.Agreement(significance.LEVEL, ()).apart


def test_lag_that_may_be_switched_off_by_hand() -> None:
    """The median of the others at lag 16 is 0.1: below 0.01 is far below it."""
    others = [{0: 0.0, 16: 0.09}, {0: 0.0, 16: 0.1}, {0: 0.0, 16: 0.45}]
    assert flags.without_lag({0: 0.0, 16: 0.0099}, others) == {16: 0.1}
    assert flags.without_lag({0: 0.0, 16: 0.0101}, others) == {}
    # Nothing is far below nothing, and two say little.
    assert flags.without_lag({0: 0.0}, others) == {}
    assert flags.without_lag({16: 0.0}, others[:2]) == {}
    # One that is far off itself, in either direction, moves nothing.
    assert flags.without_lag({16: 0.0099}, [*others[:2], {16: 1e9}]) == {16: 0.1}
    assert flags.without_lag({16: 0.0101}, [*others, {16: 0.0}]) == {}


def test_the_baselines_that_there_were_are_not_flagged() -> None:
    """TV(π_T, β) at lag 16 on Hopper-v5, as it was measured in the runs of mujoco-mini-v0."""
    measured = {
        "decoupled": 0.257,
        "geppo": 0.173,
        "impala": 0.445,
        "ppo": 0.078,
        "kl": 0.077,
        "spo": 0.024,
        "vaco": 0.094,
    }
    for name, tv in measured.items():
        assert flags.without_lag({16: tv}, [{16: x} for other, x in measured.items() if other != name]) == {}


def test_tv_is_the_median_over_runs() -> None:
    rows = [synthetic.row(seed=i, lag=lag, tv_backward=tv) for lag in (0, 4) for i, tv in enumerate((0.1, 0.9, 0.2))]
    rows.append(synthetic.row(seed=9, lag=4))
    assert flags.measured_tv(synthetic.table(rows), "lag") == {0: 0.2, 4: 0.2}
