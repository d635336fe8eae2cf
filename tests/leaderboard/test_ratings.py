"""Which returns count for what: fresh ones for final scores, reported ones for areas."""

from __future__ import annotations

import dataclasses
from typing import Any

import pyarrow.compute as pc
import pytest

from lagbench import load_suite
from lagbench.leaderboard import published, ratings
from lagbench.scoring import score, table
from tests.leaderboard.rows import cut_short

SUITE = "mujoco-mini-v0"


def runs(algorithm: str) -> Any:
    everything = published.load(load_suite(SUITE))
    return everything.filter(pc.equal(everything["algorithm"], algorithm))


def test_without_fresh_returns_it_is_what_scoring_gives() -> None:
    """But for the bootstrap's rounding of areas, whose sums have a zero more."""
    rated = ratings.rate([("mine", runs("vaco"), None), ("other", runs("ppo"), None)], replications=50)
    named = [published.replace(runs(a), "algorithm", [slug] * 12) for slug, a in (("mine", "vaco"), ("other", "ppo"))]
    plain = score.score(table.concat(named), replications=50)
    assert rated.results.comparisons == plain.comparisons
    for line, other in zip(rated.results.lines, plain.lines, strict=True):
        assert (line.label, line.rank, line.lag_score) == (other.label, other.rank, other.lag_score)
        assert line.tolerance == other.tolerance
        for point, its in zip(line.points, other.points, strict=True):
            assert point.final == its.final
            assert flat(point.area) == pytest.approx(flat(its.area), abs=1e-12)
        assert line.lag_score is not None
        assert rated.submitted[line.label].lag_score == line.lag_score.value
        assert rated.submitted[line.label].iqm == tuple(p.final.iqm.value for p in line.points if p.final)


def flat(found: Any) -> list[float]:
    return [x for one in dataclasses.asdict(found).values() for x in one.values()]


def test_fresh_returns_are_ranked_by_and_areas_stay() -> None:
    """Every return 100 higher: on Hopper-v5 the score is 100 / (reference − random) higher, and no area is."""
    finals = {row["path"]: row["final"] + 100.0 for row in runs("vaco").to_pylist()}
    rated = ratings.rate([("mine", runs("vaco"), finals), ("other", runs("ppo"), None)], replications=50)
    before = ratings.rate([("mine", runs("vaco"), None), ("other", runs("ppo"), None)], replications=50)
    mine, was = rated.line("mine"), before.line("mine")
    random, reference = rated.results.scales["Hopper-v5"]
    for point, old in zip(mine.points, was.points, strict=True):
        task, before_ = (next(t for t in p.tasks if t.task == "Hopper-v5") for p in (point, old))
        assert task.final is not None
        assert before_.final is not None
        assert task.final.value == pytest.approx(before_.final.value + 100 / (reference - random), abs=1e-12)
        assert task.returned is not None
        assert before_.returned is not None
        assert task.returned.value == pytest.approx(before_.returned.value + 100)
        assert (point.area, task.area) == (old.area, before_.area)
    # What was submitted stands beside it.
    assert mine.lag_score is not None
    assert was.lag_score is not None
    assert rated.submitted["mine"] == before.submitted["mine"]
    assert rated.submitted["mine"].lag_score == was.lag_score.value < mine.lag_score.value
    assert rated.line("other") == before.line("other")


def test_a_run_that_diverged_scores_as_the_random_policy_after_it() -> None:
    rows = runs("ppo").to_pylist(maps_as_pydicts=None)
    rows[0] = cut_short(rows[0], 2)
    cut = runs("ppo").schema.empty_table().from_pylist(rows, runs("ppo").schema)
    high = {row["path"]: 5_000.0 for row in rows[1:]}
    rated = ratings.rate([("mine", cut, high)], replications=50)
    plain = score.score(cut, replications=50).lines[0]
    (line,) = rated.results.lines
    assert line.diverged == 1
    point = next(p for p in line.points if p.value == rows[0]["lag"])
    (task,) = [t for t in point.tasks if t.task == rows[0]["task"]]
    random, reference = rated.results.scales[rows[0]["task"]]
    assert task.final is not None
    assert task.final.value == pytest.approx(2 / 3 * (5_000 - random) / (reference - random))
    areas = [[p.area.mean.value for p in one.points if p.area] for one in (line, plain)]
    assert areas[0] == pytest.approx(areas[1])
