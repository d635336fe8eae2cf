"""The experiment on asynchrony: what it runs, how arms follow from the real run, and its statistics by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lagbench
from scripts import asynchrony
from scripts.asynchrony import ALGORITHMS, QUEUES, REAL, REFERENCE, SEEDS, SIMULATED, TASKS, Cell
from tests.cli.run_here import lagbench as command


def test_all_of_the_plan_is_run() -> None:
    planned = [(arm, cell) for cell in asynchrony.cells() for arm in asynchrony.arms(cell)]
    assert len(planned) == len({*planned}) == 600 + 10
    for arm in (REAL, *SIMULATED):
        assert sum(own == arm for own, _ in planned) == len(ALGORITHMS) * len(TASKS) * len(QUEUES) * len(SEEDS)
    assert [cell.seed for _, cell in planned] == sorted(cell.seed for _, cell in planned)


def test_arms_follow_from_the_real_run() -> None:
    """A mean lag of 1.75; the learner takes twice as long as a segment."""
    options = {"actor_processes": 2, "queue": 7}
    real = {
        "lags": [1, 0, 3],
        "seconds_learner": 0.5,
        "seconds_segment": 0.25,
        "spec": json.dumps({"protocol": {"lag_options": options}}),
    }
    assert asynchrony.simulated("uniform", {**real, "lags": [1, 0, 3, 4]}) == {"lag_mode": "uniform", "lag": 4}
    assert asynchrony.simulated("fixed", {**real, "lags": [1, 0, 3, 4]}) == {"lag_mode": "fixed", "lag": 2}
    queue = asynchrony.simulated("queue", real)
    spec = lagbench.resolve(**queue, **asynchrony.OPTIONS)
    # The learner is the slower one: what a full queue and what is under way hold.
    assert spec.protocol.lag == 8
    assert spec.protocol.lag_options["learner"] == 2.0


def test_equivalence_by_two_one_sided_tests() -> None:
    """Differences 0.00, 0.02, 0.04: mean 0.02, standard error 0.02/√3; t(0.95, 2) = 2.920."""
    found = asynchrony.equivalence([1.0, 2.0, 3.0], [1.0, 2.02, 3.04])
    error = 0.02 / math.sqrt(3)
    assert found.mean == pytest.approx(0.02)
    assert found.low == pytest.approx(0.02 - 2.919986 * error)
    assert found.high == pytest.approx(0.02 + 2.919986 * error)
    # t = 0.08/error = 6.93 with 2 degrees of freedom: p = ½(1 − t/√(t² + 2)).
    t = 0.08 / error
    assert found.p == pytest.approx((1 - t / math.sqrt(t * t + 2)) / 2)
    assert found.verdict == "predicts"
    assert asynchrony.equivalence([0.0, 0.0, 0.0], [0.5, 0.52, 0.54]).verdict == "misses"
    assert asynchrony.equivalence([0.0, 0.0, 0.0], [-0.5, 0.5, 0.1]).verdict == "–"
    assert asynchrony.equivalence([1.0, 2.0], [1.0, 2.0]) == asynchrony.Equivalence(0.0, 0.0, 0.0, 0.0)


def made(arm: str, cell: Cell, final: float, lags: list[int], digest: str) -> dict[str, Any]:
    return {
        "final": final,
        "start": 0.0,
        "status": "completed",
        "lags": lags,
        "content_hash": json.dumps({"episodes": digest, "evaluations": digest}),
    }


@pytest.fixture
def rows() -> dict[tuple[str, Cell], dict[str, Any]]:
    """PPO's reference earns 100. The trace is as the real run; fixed turns the order of the algorithms round."""
    rows = {}
    for cell in asynchrony.cells():
        for arm in asynchrony.arms(cell):
            if arm == REFERENCE:
                rows[arm, cell] = made(arm, cell, 100.0, [9], "")
                continue
            place = ALGORITHMS.index(cell.algorithm)
            final = 10.0 * (3 - place if arm == "fixed" else place) + cell.seed
            off = {"queue": 1.0 + cell.seed % 2, "uniform": 30.0 + cell.seed % 3}.get(arm, 0.0)
            lags = [0, 50, 50] if arm in (REAL, "trace") else [0, 47, 53]
            digest = "same" if arm in (REAL, "trace") else arm
            rows[arm, cell] = made(arm, cell, final + off, lags, digest)
    return rows


def test_scores_are_between_the_untrained_policies_and_ppo(rows: dict[tuple[str, Cell], dict[str, Any]]) -> None:
    found = asynchrony.scores(rows)
    assert found[REAL]["Hopper-v5", 7]["vaco"] == pytest.approx([0.1, 0.11, 0.12, 0.13, 0.14])
    del rows[REAL, Cell("Hopper-v5", "vaco", 7, 4)]
    assert "vaco" not in asynchrony.scores(rows)[REAL]["Hopper-v5", 7]


def test_the_order_of_algorithms_is_compared(rows: dict[tuple[str, Cell], dict[str, Any]]) -> None:
    found = asynchrony.scores(rows)
    assert asynchrony.order(found, "trace", 50) == (1.0, 1.0, 1.0)
    assert asynchrony.order(found, "fixed", 50) == (-1.0, -1.0, -1.0)


def test_the_tables_say_what_predicts(rows: dict[tuple[str, Cell], dict[str, Any]]) -> None:
    lines = asynchrony.analysis(rows, 20)
    (first,) = [line for line in lines if line.startswith("| Hopper-v5 | 7 | vaco")]
    assert first.startswith("| Hopper-v5 | 7 | vaco | 1.5 | 0.12 | +0.00 [+0.00, +0.00] predicts | +0.01 [")
    assert "misses" in first
    summary = {line.split(" | ")[0]: line for line in lines[-len(SIMULATED) :]}
    cells = len(ALGORITHMS) * len(TASKS) * len(QUEUES)
    assert summary["| trace"].startswith(
        f"| trace | {cells} of {cells} | 0 of {cells} | {cells} of {cells} | 1.00 [1.00"
    )
    assert summary["| trace"].endswith("| 0.000 | 0.000 | 120 of 120 |")
    assert summary["| queue"].startswith(f"| queue | {cells} of {cells} | 0 of {cells}")
    assert summary["| queue"].endswith("| 0.030 | 0.030 (held to 0.05) | 0 of 120 |")
    assert summary["| uniform"].startswith(f"| uniform | 0 of {cells} | {cells} of {cells}")
    assert " | -1.00 [-1.00, -1.00] | " in summary["| fixed"]


def test_the_trace_of_a_run_that_diverged_is_filled_up(here: Path) -> None:
    """In the phases that it did not reach nobody will look."""
    small = ["--actors", "4", "--phase-steps", "16", "--minibatch", "32", "--budget", "320", "--eval-episodes", "1"]
    done = command("run", "--algo", "mine.py:Nan", "--lag", "2", *small, "--record", "episodes", "--out", "run", "-q")
    assert done.code == 3
    run = lagbench.open("run")
    mode = asynchrony.traced(run, here / "trace.arrow")
    again = command(
        "run", "--algo", "mine.py:Nan", "--lag-mode", mode, *small, "--record", "episodes", "--out", "two", "-q"
    )
    assert again.code == 3
    two = lagbench.open("two")
    assert two.result is not None
    assert run.result is not None
    assert two.result["content_hash"]["episodes"] == run.result["content_hash"]["episodes"]
    assert len(two.phases.to_table()) == len(run.phases.to_table()) < run.spec.phases


def test_a_row_keeps_what_the_analysis_takes(here: Path) -> None:
    """And the table goes on from where it is."""
    small = ["--actors", "4", "--phase-steps", "16", "--minibatch", "32", "--budget", "320", "--eval-episodes", "2"]
    assert command("run", "--lag", "2", *small, "--record", "episodes", "--out", "run", "-q").code == 0
    run, cell = lagbench.open("run"), Cell("Hopper-v5", "ppo", 7, 3)
    kept = asynchrony.row(cell, "uniform", run)
    asynchrony.write(here / "results" / "table.arrow", {("uniform", cell): kept})
    ((key, found),) = asynchrony.read(here / "results" / "table.arrow").items()
    assert key == ("uniform", cell)
    assert found["final"] == run.summary["final"]["stochastic"]["mean"]
    assert np.sum(found["lags"]) == 5 * 4
    assert math.isnan(found["seconds_learner"])
    assert asynchrony.read(here / "nothing.arrow") == {}
