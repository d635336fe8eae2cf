"""Returns as scores, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lagbench import domain, suites
from lagbench.scoring import normalize
from lagbench.scoring.normalize import Scale
from lagbench.suites import references
from lagbench.suites.references import Reference, References, TaskReferences
from tests.scoring.synthetic import even, lags, row, scores


def test_zero_is_the_start_and_one_the_reference() -> None:
    scale = Scale(start=-280.0, reference=1720.0)
    assert scale.score(np.array([-280.0, 1720.0, 720.0, -1280.0, 3720.0])) == pytest.approx([0, 1, 0.5, -0.5, 2])


def test_curves_and_areas() -> None:
    found = scores([row(returns=(0.0, 10.0, 30.0), intervals=2)], Scale(10.0, 20.0))
    curve = found.curve(found.grid.entries[0], 0, "Hopper-v5")
    assert curve is not None
    assert curve.tolist() == [[-1, 0, 2]]
    assert found.area(curve) == pytest.approx([0.25])


@pytest.mark.parametrize(
    ("returns", "after"),
    [
        ((15.0, 30.0), 15.0),  # it had learned: it counts as it began
        ((15.0, 30.0, -5.0), -5.0),  # it had got worse: as it last was
        ((15.0,), 15.0),
    ],
)
def test_a_run_that_diverged_counts_as_it_began_or_as_it_last_was_the_lower(
    returns: tuple[float, ...], after: float
) -> None:
    found = scores([row(returns=returns, status="diverged", intervals=3)], Scale(10.0, 20.0))
    curve = found.curve(found.grid.entries[0], 0, "Hopper-v5")
    assert curve is not None
    whole = [*returns, *[after] * (4 - len(returns))]
    assert curve == pytest.approx((np.array([whole]) - 10) / 10)
    # So diverging never pays: neither against stopping there, nor against never having learned.
    assert curve[0, -1] <= min(curve[0, 0], curve[0, len(returns) - 1])
    # It hangs on nothing but the run, so that returns that are not normalised are whole too.
    bare = scores([row(returns=returns, status="diverged", intervals=3)], None)
    raw = bare.curve(bare.grid.entries[0], 0, "Hopper-v5")
    assert raw is not None
    assert raw.tolist() == [whole]


def test_in_version_0_a_run_that_diverged_scores_0_after_it() -> None:
    rows = [
        row(returns=(15.0, 30.0), status="diverged", intervals=3, former=True),
        row(seed=1, returns=(15.0,) * 4, intervals=3, former=True),
    ]
    found = scores(rows, Scale(10.0, 20.0))
    curve = found.curve(found.grid.entries[0], 0, "Hopper-v5")
    assert curve is not None
    assert curve == pytest.approx(np.array([[0.5, 2, 0, 0], [0.5] * 4]))


def test_without_scales_a_run_of_version_0_that_diverged_has_no_score() -> None:
    found = scores([row(returns=(15.0,), status="diverged", former=True), row(seed=1, former=True)], None)
    entry = found.grid.entries[0]
    assert found.curve(entry, 0, "Hopper-v5") is None
    assert found.absent(entry, 0) == "a run diverged, and the return that scores 0 is unknown"


def test_a_missing_cell_makes_what_is_over_all_tasks_absent() -> None:
    rows = lags({"ppo": {0: even(1), 8: even(1), 16: even(1)}})
    found = scores(r for r in rows if not (r["task"] == "Hopper-v5" and (r["lag"] == 8 or r["lag"] + r["seed"] == 16)))
    entry = found.grid.entries[0]
    assert [found.absent(entry, lag) for lag in (0, 8, 16)] == [
        "",
        "no runs on Hopper-v5",
        "different seeds on different tasks",
    ]
    assert found.block(entry, 8) is None
    block = found.block(entry, 0)
    assert block is not None
    assert block.shape == (3, 2, 2)  # runs, tasks, fractions
    assert found.curve(entry, 8, "HalfCheetah-v5") is not None


def test_a_suites_references_are_its_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    mini = suites.load("mujoco-mini-v1")
    at = TaskReferences(Reference(1.0, 0.1, (0,)), Reference(3.0, 0.1, (100, 101)))
    monkeypatch.setattr(references, "load", lambda suite: References(dict.fromkeys(suite.tasks, at)))
    own: dict[str, Any] = {"suite": mini.runs.name, "suite_sha256": mini.runs.sha256, "budget": 1_000_000}
    run = row(returns=[0.0] * 11, intervals=10, **own)
    assert normalize.scales(scores([run]).grid) == dict.fromkeys(mini.tasks, Scale(1.0, 3.0))
    monkeypatch.setattr(references, "load", lambda suite: None)
    assert normalize.scales(scores([run]).grid) is None


def test_runs_of_no_suite_are_not_normalised() -> None:
    assert normalize.scales(scores([row()]).grid) is None
    assert normalize.scales(scores([row(task="Somebodys-v0")]).grid) is None


def test_accuracy_is_a_score_already(monkeypatch: pytest.MonkeyPatch) -> None:
    assert domain.LANGUAGE.returns_are_scores
    assert not domain.CONTROL.returns_are_scores
    monkeypatch.setattr(domain, "get", lambda name: domain.LANGUAGE)
    assert normalize.scales(scores([row()]).grid) == {"Hopper-v5": Scale(0.0, 1.0)}
