"""Verdicts: worked by hand, in words, and the number of seeds against what happens when so many are drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from lagbench.scoring import aggregate, bootstrap, robustness, score, verdict
from lagbench.scoring.bootstrap import Intervals
from lagbench.scoring.results import Comparison, IntervalEstimate, Results
from lagbench.scoring.significance import LEVEL, p_value
from tests.scoring import synthetic
from tests.scoring.synthetic import IDENTITY, even

Z = 1.959963984540054
NEW = "mine.py:Mine"


def judged(rows: Sequence[Mapping[str, Any]], scale: Any = IDENTITY) -> tuple[Results, tuple[verdict.Verdict, ...]]:
    results = verdict.of(score.score_grid(synthetic.scores(rows, scale), replications=200), NEW)
    return results, verdict.verdicts(results)


def finals(**heights: tuple[float, float]) -> list[dict[str, Any]]:
    """Runs at lag 0 and 3, which all score the same, so that intervals are points."""
    names = {name.replace("mine", NEW): at for name, at in heights.items()}
    return synthetic.lags({name: {0: even(at[0]), 3: even(at[1])} for name, at in names.items()})


def with_difference(
    lag_score: IntervalEstimate | None, last: IntervalEstimate | None, p: float = 1.0, seeds: int = 3
) -> verdict.Verdict:
    """The verdict on one difference, whatever the runs were."""
    results, _ = judged(
        synthetic.lags({name: {lag: even(1.0, seeds=seeds) for lag in (0, 3)} for name in (NEW, "ppo")})
    )
    (pair,) = results.comparisons
    pair = dataclasses.replace(pair, lag_score=lag_score, iqm=(None, last), p=p)
    (found,) = verdict.verdicts(dataclasses.replace(results, comparisons=(pair,), seeds=tuple(range(seeds))))
    return found


def test_by_hand() -> None:
    """The lag score over lags 0 and 3 is the mean of the two IQMs."""
    results, found = judged(finals(mine=(1.0, 0.6), ppo=(1.0, 0.4), vaco=(1.0, 1.0), aero=(1.0, 0.6)))
    assert {(pair.first, pair.second) for pair in results.comparisons} == {(NEW, x) for x in ("ppo", "vaco", "aero")}
    by_name = {one.against: one for one in found}
    better, worse, same = (by_name[name] for name in ("ppo", "vaco", "aero"))
    assert (better.outcome, worse.outcome, same.outcome) == ("better", "worse", "not separable")
    assert better.text == (
        f"{NEW} is better than ppo: lag score 0.10 higher (0.10 to 0.10), p 0, IQM at lag 3 0.20 higher (0.20 to 0.20)"
    )
    assert worse.text == (
        f"{NEW} is worse than vaco: lag score 0.20 lower (0.20 to 0.20), p 0, IQM at lag 3 0.40 lower (0.40 to 0.40)"
    )
    # No seed differs from another: no number of them would.
    assert same.text == (
        f"{NEW} and aero are not separable: lag score 0.00 higher (from 0.00 higher to 0.00 higher), p 1, IQM at lag 3 "
        "0.00 higher (from 0.00 higher to 0.00 higher); it would take more than 100 seeds of each to be likely to "
        "separate them; there are 3"
    )
    assert verdict.summary(NEW, found) == f"{NEW}: better than ppo; worse than vaco; not separable from aero"


def test_words_for_intervals() -> None:
    higher = with_difference(IntervalEstimate(0.12, 0.031, 0.21), IntervalEstimate(0.2, -0.05, 0.3), p=0.0123)
    assert higher.outcome == "better"
    assert higher.text.endswith(
        "lag score 0.12 higher (0.031 to 0.21), p 0.012, IQM at lag 3 0.20 higher (from 0.050 lower to 0.30 higher)"
    )
    lower = with_difference(IntervalEstimate(-0.12, -0.21, -0.004), IntervalEstimate(-0.2, -0.3, -0.1), p=0.05)
    assert lower.outcome == "worse"
    assert lower.text.endswith("lag score 0.12 lower (0.004 to 0.21), p 0.05, IQM at lag 3 0.20 lower (0.10 to 0.30)")
    between = with_difference(IntervalEstimate(0.15, -0.05, 0.35), IntervalEstimate(0.0, -0.1, 0.1), seeds=5)
    assert (between.outcome, between.seeds) == ("not separable", 61)
    assert between.text.endswith("; about 61 seeds of each would be likely to separate them; there are 5")
    assert with_difference(IntervalEstimate(0.0, -0.1, 0.1), IntervalEstimate(0.0, -0.1, 0.1)).seeds is None


def test_what_is_not_sure_among_all_pairs_is_not_separable() -> None:
    """Whatever its own interval says."""
    assert (
        with_difference(IntervalEstimate(0.1, 0.01, 0.2), IntervalEstimate(0.1, 0.0, 0.2), p=0.051).outcome
        == "not separable"
    )


def test_a_crowd_of_pairs_takes_more() -> None:
    heights = {NEW: {0: 0.9, 3: 0.9}, "ppo": {0: 0.86, 3: 0.86}}
    alone = synthetic.noisy(heights, seeds=5)
    crowd = synthetic.noisy(heights | {name: {0: 0.88, 3: 0.88} for name in "abcd"}, seeds=5)
    _, (first,) = judged(alone)
    assert first.outcome == "better"
    results, found = judged(alone + [row for row in crowd if row["algorithm"] in "abcd"])
    assert results.pairs == 15
    assert {one.against: one.outcome for one in found}["ppo"] == "not separable"


def test_no_verdict_on_what_is_not_whole() -> None:
    rows = [row for row in finals(mine=(1.0, 0.6), ppo=(1.0, 0.4)) if (row["seed"], row["lag"]) != (2, 3)]
    for missing, text in (
        (rows, "has 10 of 12 runs (missing: HalfCheetah-v5 at lag 3, seed 2; Hopper-v5 at lag 3, seed 2)"),
        ([r for r in finals(mine=(1, 1), ppo=(1, 1)) if r["algorithm"] == "ppo" or r["seed"] < 2], "has 8 of 12 runs"),
    ):
        everything = missing + [row for row in finals(vaco=(1.0, 1.0)) if row["seed"] == 2]
        found = {one.against: one for one in judged(everything)[1]}["ppo"]
        assert (found.outcome, found.seeds) == ("none", None)
        assert found.text.startswith(f"{NEW} and ppo: no verdict: {NEW} has ")
        assert text in found.text
    both = [row for row in finals(mine=(1.0, 0.6), ppo=(1.0, 0.4)) if row["algorithm"] == NEW or row["lag"] == 0]
    results, (found,) = judged(both)
    assert found.text == (
        f"{NEW} and ppo: no verdict: ppo has 6 of 12 runs (missing: HalfCheetah-v5 at lag 3, seeds 0, 1, 2; "
        "Hopper-v5 at lag 3, seeds 0, 1, 2)"
    )
    assert verdict.summary(NEW, [found]) == f"{NEW}: no verdict on ppo"
    assert results.comparisons[0].lag_score is None


def test_no_verdict_from_one_seed() -> None:
    _, (found,) = judged([row for row in finals(mine=(1.0, 0.6), ppo=(1.0, 0.4)) if row["seed"] == 0])
    assert found.text == f"{NEW} and ppo: no verdict: one seed gives no interval"


def test_without_references_by_the_probability_of_improvement() -> None:
    _, (better, worse) = judged(finals(mine=(1.0, 0.6), ppo=(0.9, 0.4), vaco=(1.1, 1.0)), scale=None)
    assert (better.outcome, worse.outcome) == ("better", "worse")
    assert better.text == (
        f"{NEW} is better than ppo: the probability that a run of it scores above one of ppo is 1.00 (1.00 to 1.00), p "
        "3.8e-05"
    )
    assert "above one of vaco is 0.00 (0.00 to 0.00)" in worse.text
    _, (even_,) = judged(finals(mine=(1.0, 0.6), ppo=(0.9, 0.8)), scale=None)
    assert (even_.outcome, even_.seeds) == ("not separable", None)


def test_no_verdict_where_runs_diverged_that_have_no_score() -> None:
    """Of version 0: in version 1 they count as what they last were."""
    rows = [
        synthetic.row(r["algorithm"], r["task"], r["seed"], r["returns"], lag=r["lag"], former=True)
        for r in finals(mine=(1.0, 0.6), ppo=(0.9, 0.4))
    ]
    first = rows[0]
    rows[0] = synthetic.row(
        first["algorithm"], first["task"], 0, (0.0,), status="diverged", lag=first["lag"], former=True
    )
    _, (found,) = judged(rows, scale=None)
    assert found.text == f"{NEW} and ppo: no verdict: diverged runs have no score"


def test_a_difference_turned_round() -> None:
    pair = Comparison(
        first="ppo",
        second=NEW,
        lag_score=IntervalEstimate(0.1, -0.2, 0.3),
        iqm=(None, IntervalEstimate(1, None, None)),
        improvement=IntervalEstimate(0.625, 0.5, 0.875),
        improvements=(),
        p=0.2,
        ps=(None, 0.3),
    )
    results = dataclasses.replace(judged(finals(mine=(1, 1), ppo=(1, 1)))[0], comparisons=(pair,))
    (turned,) = verdict.of(results, NEW).comparisons
    assert (turned.first, turned.second) == (NEW, "ppo")
    assert turned.lag_score == IntervalEstimate(-0.1, -0.3, 0.2)
    assert turned.iqm == (None, IntervalEstimate(-1, None, None))
    assert turned.improvement == IntervalEstimate(0.375, 0.125, 0.5)
    assert (turned.p, turned.ps) == (0.2, (None, 0.3))
    assert verdict.of(results, "ppo").comparisons == (pair,)
    assert verdict.of(results, "vaco").comparisons == ()


def test_the_number_of_seeds_by_hand() -> None:
    """From 5 seeds on 2 tasks, a difference of 3/2 σ/√5: half of the interval's width is 1.96 σ √4 / 5."""
    d = 1.5 / sqrt(5)
    half = Z * sqrt(4) / 5
    found = verdict.seeds_to_separate(IntervalEstimate(d, d - half, d + half), 5, 2, 1)
    assert found is not None

    def likely(n: int) -> float:
        from statistics import NormalDist

        needed, spread = stats.t.isf(0.025, 4 * (n - 1)) / sqrt(n), sqrt(1 / 5 + 1 / n)
        return NormalDist().cdf((d - needed) / spread) + NormalDist().cdf((-d - needed) / spread)

    assert likely(found - 1) < 0.8 <= likely(found)
    # Neither the sign nor the unit counts.
    assert verdict.seeds_to_separate(IntervalEstimate(-9 * d, -9 * (d + half), 9 * (half - d)), 5, 2, 1) == found
    # Of what is seen more clearly, fewer are needed.
    clearer = verdict.seeds_to_separate(IntervalEstimate(d * 1.1, d * 1.1 - half, d * 1.1 + half), 5, 2, 1)
    assert clearer is not None
    assert clearer < found
    # Among many pairs more are.
    among = verdict.seeds_to_separate(IntervalEstimate(d * 1.1, d * 1.1 - half, d * 1.1 + half), 5, 2, 3)
    assert among is None or among > clearer


def test_more_seeds_than_can_be_told() -> None:
    for difference in (
        IntervalEstimate(0.0, -0.1, 0.1),
        IntervalEstimate(0.01, -0.1, 0.12),
        IntervalEstimate(0.0, 0.0, 0.0),
    ):
        assert verdict.seeds_to_separate(difference, 3, 2, 1) is None
    assert verdict.seeds_to_separate(IntervalEstimate(0.1, None, None), 3, 2, 1) is None
    assert verdict.seeds_to_separate(IntervalEstimate(0.1, -0.1, 0.3), 1, 2, 1) is None


@pytest.mark.slow
def test_so_many_seeds_separate_four_times_of_five() -> None:
    """Differences of every size are drawn, and a study of each; where it separates nothing, the study it asks for.

    3 seeds on 2 tasks. Normal scores, the tasks' means spread over 2.5 standard deviations.
    """
    seeds, tasks = 3, 2
    rng = np.random.default_rng(0)
    true = rng.uniform(-3, 3, 2500)
    first = study(true, seeds, tasks, rng)
    wanted: dict[int, list[int]] = {}
    for i in np.flatnonzero(~separate(first, seeds, tasks)).tolist():
        n = verdict.seeds_to_separate(IntervalEstimate(first.value[i], first.low[i], first.high[i]), seeds, tasks, 1)
        if n is not None and n <= 60:
            wanted.setdefault(n, []).append(i)
    assert min(wanted) >= 2 * seeds
    separated = []
    for n, own in wanted.items():
        again = study(true[own], n, tasks, rng, 150)
        separated += [*separate(again, n, tasks)]
    assert len(separated) > 100
    assert 0.73 <= np.mean(separated) <= 0.87


def separate(found: Intervals, seeds: int, tasks: int) -> NDArray[np.bool_]:
    p = [p_value(d, e, seeds, tasks) for d, e in zip(found.value, found.error, strict=True)]
    return np.array(p) <= LEVEL


def study(
    true: NDArray[np.float64], seeds: int, tasks: int, rng: np.random.Generator, replications: int = 200
) -> Intervals:
    """The observed difference in lag score [draws] of two algorithms that truly differ by ``true``."""
    means = np.linspace(-1.25, 1.25, tasks)[:, None, None]
    shape = (seeds, tasks, 2, len(true))
    first, second = (means + rng.standard_normal(shape) + shift for shift in (true, 0.0))
    x = robustness.positions([0, 16], "lag")

    def statistics(*drawn: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        one, other = (robustness.lag_score(np.moveaxis(aggregate.iqm(part), 0, -1), x) for part in drawn)
        return {"": one - other}

    return bootstrap.intervals([first, second], statistics, replications)[""]
