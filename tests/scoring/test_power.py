"""Power: by hand where it can be, and against a simulation of the very test."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lagbench import suites
from lagbench.errors import LagbenchError
from lagbench.scoring import power, score
from lagbench.scoring.significance import LEVEL, p_value
from tests.scoring.synthetic import noisy, scores


def test_the_spread_is_of_a_single_seed() -> None:
    # From 4 seeds a bootstrap has √(3/4) of σ/√4: for σ = 1, 0.433.
    error = sqrt(3 / 4) / 2
    assert power.spread(error, 4) == pytest.approx(1.0)


def test_variances_of_several_algorithms_are_averaged() -> None:
    found = power.power([1.0, sqrt(7)], 5, 3, 10)  # of 1 and 7, 4
    assert found == power.power([2.0], 5, 3, 10)
    assert [one.difference for one in found] == [0.1, 0.2, 0.3]
    assert found[1].alone == power.probability(0.2, 2.0, 5, 3)
    assert found[1].corrected == power.probability(0.2, 2.0, 5, 3, pairs=10)
    assert power.power([], 5, 3, 10) == power.power([1.0], 1, 3, 10) == ()


def test_no_difference_is_found_as_often_as_the_level_says() -> None:
    assert power.probability(0.0, 0.3, 5, 3) == pytest.approx(LEVEL, rel=1e-3)
    assert power.probability(0.0, 0.3, 5, 3, pairs=10) == pytest.approx(LEVEL / 10, rel=1e-2)


def test_it_is_the_noncentral_t() -> None:
    freedom, apart = 24, 0.2 / (0.3 * sqrt(2 / 5))
    limit = stats.t.isf(LEVEL / 2, freedom)
    expected = stats.nct.sf(limit, freedom, apart) + stats.nct.cdf(-limit, freedom, apart)
    assert power.probability(0.2, 0.3, 5, 3) == pytest.approx(expected, abs=1e-4)


def test_a_simulated_test_finds_as_much() -> None:
    """Means of normal scores over 3 tasks × 5 seeds, each as its bootstrap has it, 20,000 times."""
    rng = np.random.default_rng(0)
    seeds, tasks, sigma, difference, times = 5, 3, 0.5, 0.6, 20_000
    scores = sigma * sqrt(tasks) * rng.standard_normal((2, times, tasks, seeds))
    scores[0] += difference
    # The standard deviation over all bootstrap samples of a mean over tasks, without drawing any.
    error = np.sqrt((scores.var(axis=-1) / seeds).sum(axis=-1).sum(axis=0)) / tasks
    apart = scores[0].mean(axis=(1, 2)) - scores[1].mean(axis=(1, 2))
    found = np.mean([p_value(d, e, seeds, tasks) <= LEVEL for d, e in zip(apart, error, strict=True)])
    assert found == pytest.approx(power.probability(difference, sigma, seeds, tasks), abs=0.01)


def test_the_sentence() -> None:
    found = (power.Power(0.1, 0.256, 0.05), power.Power(0.2, 0.9, 0.5))
    assert power.sentence(found, 5, 3, 36) == (
        "Power, by the spread of these runs: lag scores that differ by 0.1/0.2 are separated with probability "
        "0.26/0.90 (5 seeds on 3 tasks), with Holm's correction over 36 pairs at least 0.05/0.50."
    )
    assert power.sentence(found[:1], 2, 1, 1).endswith("with probability 0.26 (2 seeds on 1 task).")
    assert power.sentence((), 5, 3, 36) == ""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the spreads of a suite's published runs are."""
    monkeypatch.setattr(power, "file_of", lambda suite: tmp_path / "suite.power.json")
    return tmp_path / "suite.power.json"


def test_of_a_suite_it_is_by_its_published_runs(file: Path) -> None:
    mini = suites.load("mujoco-mini-v1")
    assert power.published(mini) == ""
    rows = noisy({"a": {0: 0.9, 8: 0.5}, "b": {0: 0.6, 8: 0.5}, "c": {0: 0.6, 8: 0.1}}, seeds=3, sd=0.2)
    found = score.score_grid(scores(rows), replications=50)
    power.to_file(mini, {line.label: line.spread for line in found.lines}, file)
    own = [line.spread for line in found.lines if line.spread is not None]
    assert power.published(mini) == power.sentence(power.power(own, 5, 3, 3), 5, 3, 3, "3 published algorithms")
    with pytest.raises(
        LagbenchError, match="the published power belongs to another version of mujoco-lite-v1; publish its"
    ):
        power.published(suites.load("mujoco-lite-v1"))


def test_without_an_interval_nothing_is_published(file: Path) -> None:
    (line,) = score.score_grid(scores(noisy({"a": {0: 0.9, 8: 0.5}}, seeds=1)), replications=50).lines
    with pytest.raises(
        LagbenchError, match="mujoco-mini-v1 has no known power: not every algorithm has a lag score with an"
    ):
        power.to_file(suites.load("mujoco-mini-v1"), {"b": 0.1, "a": line.spread}, file)
    assert not file.exists()


def test_without_any_spread_all_is_found() -> None:
    assert power.power([0.0], 3, 2, 10) == tuple(power.Power(x, 1.0, 1.0) for x in power.DIFFERENCES)
