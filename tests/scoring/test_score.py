"""From tables to results: numbers worked by hand, and what must hold of any."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from rliable import library, metrics
from scipy import stats

from lagbench import suites
from lagbench.scoring import bootstrap, power, score
from lagbench.scoring.normalize import Scale
from lagbench.scoring.results import Comparison, IntervalEstimate, Line, Mean, Results, Tolerance
from lagbench.scoring.significance import LEVEL
from tests.scoring.synthetic import IDENTITY, TASKS, even, lags, noisy, row, scores, table

FEW = 100


def results(rows: list[dict[str, Any]], scale: Scale | None = IDENTITY, replications: int = FEW) -> Results:
    return score.score_grid(scores(rows, scale), replications=replications)


def lines(found: Results) -> dict[str, Line]:
    return {line.label: line for line in found.lines}


def about(value: float) -> Any:
    return pytest.approx(value)


def exactly(value: float) -> IntervalEstimate:
    """What comes of runs that are all alike."""
    return IntervalEstimate(about(value), about(value), about(value))


def test_everything_by_hand() -> None:
    """Lags 0, 1, 3 stand at 0, 1, 2; every run of a cell is alike, so that intervals are points."""
    found = results(
        lags({"a": {0: even(1.0), 1: even(0.8), 3: even(0.2)}, "b": {0: even(0.6), 1: even(0.6), 3: even(0.6)}})
    )
    a, b = found.lines
    assert (a.label, b.label) == ("a", "b")
    assert a.lag_score == exactly((0.9 + 0.5) / 2)
    assert b.lag_score == exactly(0.6)
    assert (a.rank, b.rank) == (1, 2)
    assert [point.retention for point in a.points] == [exactly(1), exactly(0.8), exactly(0.2)]
    assert a.tolerance == Tolerance(about(2**0.5 - 1), about(2**0.5 - 1), about(2**0.5 - 1), largest=3)
    assert b.tolerance == Tolerance(3, 3, 3, largest=3)
    assert b.tolerance.censored
    assert not a.tolerance.censored
    last = a.points[2]
    assert last.final is not None
    assert last.area is not None
    assert (last.final.iqm, last.final.median, last.final.mean) == (exactly(0.2),) * 3
    assert last.final.optimality_gap == exactly(0.8)
    assert last.area.iqm == exactly(0.1)
    assert [task.final for task in last.tasks] == [exactly(0.2)] * 2
    assert [task.returned for task in last.tasks] == [Mean(about(0.2), about(0.0))] * 2
    assert [task.mode_returned for task in last.tasks] == [Mean(about(0.1), about(0.0))] * 2
    assert [point.rank for point in a.points] == [1, 1, 2]
    assert [point.rank for point in b.points] == [2, 2, 1]
    (pair,) = found.comparisons
    assert pair.lag_score == exactly(0.1)
    assert pair.iqm == (exactly(0.4), exactly(0.2), exactly(-0.4))
    assert pair.improvements == (exactly(1), exactly(1), exactly(0))
    assert pair.improvement == exactly(2 / 3)
    assert (a.runs, a.diverged, a.missing, a.undefined) == (18, 0, (), "")


def test_scores_are_of_the_returns_between_the_references() -> None:
    found = results(lags({"a": {0: even(300.0)}}), Scale(start=100.0, reference=500.0))
    point = found.lines[0].points[0]
    assert point.final is not None
    assert point.final.iqm == exactly(0.5)
    # The mean action stands beside, as it is.
    assert [(task.returned, task.mode_returned) for task in point.tasks] == [(Mean(300, 0), Mean(150, 0))] * 2
    assert found.scales == dict.fromkeys(TASKS, (100.0, 500.0))


def test_the_same_as_rliable_called_directly() -> None:
    rows = noisy({"a": {0: 0.5, 1: 0.4, 3: 0.3}}, seeds=6)
    found = results(rows).lines[0]
    # Its array: [runs, tasks, final and area, lags]; runs begin at 0, so that an area is half the final score.
    final = np.empty((6, 2, 3))
    for r in rows:
        final[r["seed"], TASKS.index(r["task"]), [0, 1, 3].index(r["lag"])] = r["final"]
    array = np.stack([final, final / 2], axis=2)
    for name, function in (
        ("iqm", metrics.aggregate_iqm),
        ("median", metrics.aggregate_median),
        ("mean", metrics.aggregate_mean),
        ("optimality_gap", metrics.aggregate_optimality_gap),
    ):
        with bootstrap.seeded():
            value, bounds = library.get_interval_estimates(
                {"a": array}, lambda x, f=function: np.array([f(x[:, :, 0, 2]), f(x[:, :, 1, 2])]), reps=FEW
            )
        last = found.points[2]
        for m, measure in enumerate((last.final, last.area)):
            estimate = getattr(measure, name)
            assert [estimate.value, estimate.low, estimate.high] == pytest.approx(
                [value["a"][m], *bounds["a"][:, m]], abs=1e-12
            )

    def lag_score(x: Any) -> Any:
        return np.array([(metrics.aggregate_iqm(x[:, :, 0, 0]) / 2 + metrics.aggregate_iqm(x[:, :, 0, 1])
                          + metrics.aggregate_iqm(x[:, :, 0, 2]) / 2) / 2])  # fmt: skip

    with bootstrap.seeded():
        value, bounds = library.get_interval_estimates({"a": array}, lag_score, reps=FEW)
    assert found.lag_score is not None
    assert [found.lag_score.value, found.lag_score.low, found.lag_score.high] == pytest.approx(
        [value["a"][0], *bounds["a"][:, 0]], abs=1e-12
    )


def test_the_same_files_give_the_same_numbers() -> None:
    rows = noisy({"b": {0: 0.8, 8: 0.2}, "a": {0: 0.8, 8: 0.3}}, seeds=4)
    shuffled = rows.copy()
    random.Random(0).shuffle(shuffled)
    np.random.seed(1)  # noqa: NPY002
    first = score.score(table(rows), replications=FEW)
    np.random.seed(2)  # noqa: NPY002
    assert score.score(table(shuffled), replications=FEW) == first
    assert results(shuffled) == results(rows)


def test_an_entrys_numbers_do_not_hang_on_the_others() -> None:
    rows = noisy({"a": {0: 0.8, 8: 0.3}, "b": {0: 0.8, 8: 0.2}}, seeds=4)
    alone = results([r for r in rows if r["algorithm"] == "a"]).lines[0]
    beside = lines(results(rows))["a"]
    assert alone.points[0].final == beside.points[0].final
    assert alone.tolerance == beside.tolerance


def test_how_far_it_is_is_told() -> None:
    told: list[tuple[int, int]] = []
    given = scores(noisy({"a": {0: 0.8, 8: 0.3}, "b": {0: 0.8, 8: 0.2}}, seeds=4))
    score.score_grid(given, replications=FEW, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_an_algorithm_without_a_finished_run_has_no_numbers() -> None:
    rows = lags({"a": {0: even(1.0), 8: even(0.5)}})
    rows.append(row("b", "Hopper-v5", status="unfinished", returns=[]))
    a, b = results(rows).lines
    assert (a.rank, b.rank, b.runs, b.lag_score) == (1, None, 0, None)
    assert b.points[0].absent == "no runs on HalfCheetah-v5, Hopper-v5"
    assert b.missing[0] == "HalfCheetah-v5 at lag 0, seeds 0, 1, 2"


def test_a_learning_rate_of_0_does_not_win() -> None:
    """It stays where the random policy is, and tolerates everything: retention and tolerance rank nobody."""
    found = lines(results(noisy({"frozen": {0: 0.0, 16: 0.0, 64: 0.0}, "ppo": {0: 1.0, 16: 0.4, 64: 0.1}}, seeds=5)))
    frozen, ppo = found["frozen"], found["ppo"]
    assert (ppo.rank, frozen.rank) == (1, 2)
    assert ppo.lag_score is not None
    assert frozen.lag_score is not None
    assert ppo.lag_score.low is not None
    assert frozen.lag_score.high is not None
    assert ppo.lag_score.low > frozen.lag_score.high
    assert frozen.tolerance is None
    assert frozen.undefined == "the lower bound of IQM at lag 0 is not above 0.2"
    assert all(point.retention is None for point in frozen.points)
    assert ppo.tolerance is not None


def test_what_cannot_be_told_apart_is_tied() -> None:
    heights = {"a": {0: 0.9, 8: 0.9}, "b": {0: 0.9, 8: 0.89}, "c": {0: 0.5, 8: 0.5}}
    found = lines(results(noisy(heights, seeds=5, sd=0.1)))
    assert [found[name].rank for name in "abc"] == [1, 1, 3]


def test_ranks_need_not_be_transitive() -> None:
    """C is surely worse than a alone: it is third to nobody."""

    def pair(first: str, second: str, difference: float, p: float) -> Comparison:
        return Comparison(first, second, IntervalEstimate(difference, -1.0, 1.0), (), None, (), p, ())

    from lagbench.scoring.differences import _ranks

    found = [pair("a", "b", 0.1, 0.2), pair("a", "c", 0.2, 0.05), pair("b", "c", 0.1, 0.2)]
    assert _ranks("abc", [(one, one.lag_score, one.p) for one in found]) == {"a": 1, "b": 1, "c": 2}
    assert _ranks("ab", [(pair("a", "b", -0.1, 0.01), IntervalEstimate(-0.1, None, None), 0.01)]) == {"a": 2, "b": 1}


def test_one_seed_gives_no_interval_and_no_rank() -> None:
    found = results(lags({"a": {0: even(1.0, seeds=1), 8: even(0.5, seeds=1)}, "b": {0: even(0.1), 8: even(0.1)}}))
    a = lines(found)["a"]
    assert a.lag_score == IntervalEstimate(about(0.75), None, None)
    assert a.rank is None
    assert a.undefined == "with one run on a task there is no interval"
    assert a.points[0].rank is None
    (pair,) = found.comparisons
    assert pair.lag_score == IntervalEstimate(about(0.65), None, None)
    assert lines(found)["b"].rank == 1
    assert found.coverage == "With one run on a task there is no interval."


def test_a_gap_makes_what_needs_it_absent() -> None:
    rows = lags({"a": {0: even(1.0), 8: even(0.5)}, "b": {0: even(0.6), 8: even(0.6)}})
    gap = [r for r in rows if (r["algorithm"], r["task"], r["lag"], r["seed"]) != ("a", "Hopper-v5", 8, 2)]
    found = results(gap)
    a, b = found.lines
    assert a.points[0].final is not None
    assert a.points[1].final is None
    assert a.points[1].absent == "different seeds on different tasks"
    assert [task.final for task in a.points[1].tasks] == [exactly(0.5)] * 2
    assert [len(task.seeds) for task in a.points[1].tasks] == [3, 2]
    assert (a.lag_score, a.rank, a.tolerance) == (None,) * 3
    assert a.undefined == "the grid is not complete"
    assert b.lag_score == exactly(0.6)
    (pair,) = found.comparisons
    assert pair.lag_score is pair.improvement is None
    assert pair.iqm == (exactly(0.4), None)
    assert pair.improvements == (exactly(1), None)
    assert found.notes[0].startswith("a has 11 of 12 runs; missing: Hopper-v5 at lag 8, seed 2")


def test_algorithms_may_have_different_numbers_of_seeds() -> None:
    """Each number of seeds is an array of its own in the bootstrap."""
    rows = noisy({"a": {0: 0.9, 8: 0.4}}, seeds=6) + noisy({"b": {0: 0.2, 8: 0.2}}, seeds=3)
    found = results(rows)
    assert [line.rank for line in found.lines] == [1, 2]
    (pair,) = found.comparisons
    assert all(x is not None and x.above_zero for x in pair.iqm)
    assert pair.improvement == exactly(1)


def test_a_run_that_diverged_counts_as_it_began_from_there_on() -> None:
    rows = [
        row("a", "Hopper-v5", seed, (10.0, 20.0, 20.0), intervals=2) if seed else
        row("a", "Hopper-v5", seed, (10.0, 20.0), status="diverged", intervals=2)
        for seed in range(4)
    ]  # fmt: skip
    found = results(rows, Scale(10.0, 20.0)).lines[0]
    (task,) = found.points[0].tasks
    assert (found.diverged, found.points[0].diverged, task.diverged) == (1, 1, 1)
    assert task.final is not None
    assert task.area is not None
    assert task.final.value == pytest.approx(3 / 4)
    # Three of 0, 1, 1, and one of 0, 1, 0.
    assert task.area.value == pytest.approx((3 * 0.75 + 0.5) / 4)
    # 20, 20, 20 and 10; of the mean action, which earns half, 10, 10, 10 and 5.
    assert task.returned == Mean(17.5, about(2.5))
    assert task.mode_returned == Mean(8.75, about(1.25))


def test_without_references_there_are_returns_by_task() -> None:
    found = results(lags({"a": {0: even(1000.0), 8: even(500.0)}, "b": {0: even(900.0), 8: even(900.0)}}), None)
    a = found.lines[0]
    assert not found.normalized
    assert found.scales == {}
    assert (a.lag_score, a.tolerance, a.points[0].final) == (None,) * 3
    assert [task.final for task in a.points[1].tasks] == [exactly(500)] * 2
    (pair,) = found.comparisons
    assert pair.lag_score is None
    assert pair.iqm == (None, None)
    assert pair.improvements == (exactly(1), exactly(0))
    assert "the runs belong to no suite, so returns are not normalised" in found.notes[0]


def test_without_references_a_run_of_version_0_that_diverged_cannot_be_scored() -> None:
    rows = [row("a", task, seed, former=True) for task in TASKS for seed in range(3)]
    rows[0] = row("a", TASKS[0], 0, (0.0,), status="diverged", former=True)
    found = results(rows, None)
    assert [task.final is None for task in found.lines[0].points[0].tasks] == [True, False]
    assert found.notes[-1].startswith("1 run diverged; a diverged run counts as a score of 0, but without references")
    # In version 1 a run that diverged counts as what it was itself.
    rows = [row("a", task, seed) for task in TASKS for seed in range(3)]
    rows[0] = row("a", TASKS[0], 0, (0.0,), status="diverged")
    found = results(rows, None)
    assert [task.returned for task in found.lines[0].points[0].tasks] == [Mean(about(2 / 3), about(1 / 3)), Mean(1, 0)]


def test_reuse_is_relative_to_the_peak() -> None:
    """Updates 8, 16, 32 stand at 3, 4, 5; the peak is at 16."""
    heights = {8: 0.4, 16: 1.0, 32: 0.8}
    rows = [row("a", seed=seed, returns=(0.0, height), updates=u) for u, height in heights.items() for seed in range(3)]
    (line,) = results(rows).lines
    assert line.lag_score == exactly((0.7 + 0.9) / 2)
    assert line.tolerance == Tolerance(about(2**4.5), about(2**4.5), about(2**4.5), largest=32)
    assert [point.retention for point in line.points] == [exactly(0.4), exactly(1), exactly(0.8)]


@pytest.mark.parametrize(
    ("heights", "undefined"),
    [
        ({0: 0.15, 8: 0.1}, "the lower bound of IQM at lag 0 is not above 0.2"),
        ({4: 1.0, 8: 0.1}, "the grid has no lag 0"),
        ({0: 1.0}, "there is only one value of lag"),
    ],
)
def test_where_shares_are_undefined(heights: dict[int, float], undefined: str) -> None:
    (line,) = results(lags({"a": {lag: even(height) for lag, height in heights.items()}})).lines
    assert line.undefined == undefined
    assert line.tolerance is None


def test_a_suites_results_name_it() -> None:
    mini = suites.load("mujoco-mini-v1")
    own: dict[str, Any] = {"suite": mini.runs.name, "suite_sha256": mini.runs.sha256, "budget": 1_000_000}
    run = row(**own, returns=[0.0] * 11, intervals=10)
    found = score.score_grid(scores([run]), replications=FEW)
    assert (found.suite, found.measure) == (mini.version, "stochastic")
    assert found.values == (0, 8, 32)
    assert found.lines[0].points[1].absent == "no runs on Hopper-v5, Walker2d-v5, HalfCheetah-v5"


def test_ranks_and_p_values_are_with_holms_correction_over_all_pairs() -> None:
    """What two that are alone would be told apart by is not enough among six."""
    heights = {"a": {0: 0.9, 8: 0.9}, "b": {0: 0.86, 8: 0.86}}
    crowd = {name: {0: 0.88, 8: 0.88} for name in "cdef"}
    alone = results(noisy(heights, seeds=5, sd=0.05))
    (pair,) = alone.comparisons
    assert pair.p is not None
    assert pair.p <= LEVEL
    assert [line.rank for line in alone.lines] == [1, 2]
    rows = [r for r in noisy(heights | crowd, seeds=5, sd=0.05) if r["algorithm"] in crowd]
    among = results(noisy(heights, seeds=5, sd=0.05) + rows)
    (same,) = (p for p in among.comparisons if (p.first, p.second) == ("a", "b"))
    assert (alone.pairs, among.pairs) == (1, 15)
    assert same.p is not None
    assert same.p > LEVEL
    assert {line.label: line.rank for line in among.lines}["b"] == 1


def test_a_p_value_by_hand() -> None:
    """One task at lags 0 and 1, and with two runs each the bootstrap can be gone through whole."""
    rows = [row(name, "Hopper-v5", seed, (0.0, x), lag=lag) for name, ends in (("a", (1.0, 3.0)), ("b", (0.0, 1.0)))
            for seed, x in enumerate(ends) for lag in (0, 1)]  # fmt: skip
    found = score.score_grid(scores(rows), replications=20_000)
    (pair,) = found.comparisons
    # The mean of two of (1, 3) has the variance 1/2, of two of (0, 1) 1/8; the lag score is the mean of two such.
    error = np.sqrt((1 / 2 + 1 / 8) / 2)
    assert pair.p == pytest.approx(2 * stats.t.sf(1.5 / (error * np.sqrt(2)), 2), abs=0.005)
    assert pair.ps[0] == pytest.approx(2 * stats.t.sf(1.5 / (np.sqrt(1 / 2 + 1 / 8) * np.sqrt(2)), 2), abs=0.005)
    # The bootstrap has 1/4 for a's lag score, unbiased 1/2, and of a single seed 1.
    assert [line.spread for line in found.lines] == pytest.approx([1.0, 0.5], rel=0.02)


def test_power_stands_beside() -> None:
    found = results(noisy({"a": {0: 0.9, 8: 0.5}, "b": {0: 0.6, 8: 0.5}}, seeds=3, sd=0.2))
    spreads = [line.spread for line in found.lines if line.spread is not None]
    assert found.power == power.power(spreads, 3, 2, 1)
    assert "lag scores that differ by 0.1/0.2/0.3 are separated with probability" in found.power_note
    assert results(noisy({"a": {0: 0.9, 8: 0.5}}, seeds=1)).power == ()
    assert results(noisy({"a": {0: 0.9, 8: 0.5}}, seeds=3), None).power == ()
