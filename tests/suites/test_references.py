"""References: what a suite's scores are normalised by."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import lagbench
from lagbench import suites
from lagbench.errors import LagbenchError
from lagbench.suites import Suite, references
from lagbench.suites.references import APART, Reference, TaskReferences
from scripts.references import reference_options
from tests.cli.run_here import content_hash

MINI, LITE, REUSE = (suites.load(f"mujoco-{name}-v1") for name in ("mini", "lite", "reuse-mini"))


def document(**changes: Any) -> dict[str, Any]:
    at = {
        "start": {"mean": 10.0, "standard_error": 3.0, "seeds": [1, 2]},
        "reference": {"mean": 110.0, "standard_error": 4.0, "seeds": [100, 101]},
    }
    suite = {"name": MINI.runs.name, "sha256": MINI.runs.sha256}
    return {"suite": suite, "tasks": {task: copy.deepcopy(at) for task in LITE.tasks}, **changes}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Suites as they are, with one file of references."""
    file = tmp_path / "mujoco-1m-v1.references.json"
    monkeypatch.setattr(references, "file_of", lambda suite: file)
    return lambda data: file.write_text(json.dumps(data))


def test_a_distance_is_counted_in_standard_errors_of_the_difference() -> None:
    assert TaskReferences(Reference(10.0, 3.0, (1,)), Reference(110.0, 4.0, (2,))).apart == 20.0
    assert TaskReferences(Reference(10.0, 0.0, (1,)), Reference(110.0, 0.0, (2,))).apart == float("inf")


def test_what_ships_is_read(shipped: Any) -> None:
    shipped(document())
    found = references.load(MINI)
    assert found is not None
    expected = TaskReferences(Reference(10.0, 3.0, (1, 2)), Reference(110.0, 4.0, (100, 101)))
    assert found.tasks == dict.fromkeys(LITE.tasks, expected)


def test_a_suite_may_have_none(shipped: Any) -> None:
    assert references.load(MINI) is None


@pytest.mark.parametrize("suite", [MINI, REUSE], ids=lambda suite: suite.name)
def test_those_of_another_version_are_refused(shipped: Any, suite: Suite) -> None:
    shipped(document(suite={"name": MINI.runs.name, "sha256": "0" * 64}))
    with pytest.raises(LagbenchError, match=f"the references of {suite.name} belong to another version of it"):
        references.load(suite)


def test_a_suite_needs_those_of_its_own_tasks_alone(shipped: Any) -> None:
    """So the small suite of a family is scored before the tasks of the large one are measured."""
    part = document()
    del part["tasks"]["Ant-v5"]
    shipped(part)
    assert references.load(MINI) is not None
    with pytest.raises(LagbenchError, match="the references of mujoco-lite-v1 lack Ant-v5"):
        references.load(LITE)


def test_a_task_that_they_do_not_tell_apart_is_refused(shipped: Any) -> None:
    close = document()
    close["tasks"]["Hopper-v5"]["reference"]["mean"] = 10.0 + APART * 5.0
    shipped(close)
    with pytest.raises(LagbenchError, match=r"Hopper-v5 cannot be scored: its references are 10\.0 standard errors ap"):
        references.load(MINI)


def test_a_family_has_one_file_and_a_suite_may_take_anothers() -> None:
    assert references.file_of(MINI) == references.file_of(LITE) == references.file_of(REUSE)
    assert references.file_of(MINI).name == "mujoco-1m-v1.references.json"
    former = {name: references.file_of(suites.load(f"mujoco-{name}-v0")) for name in ("mini", "reuse-mini", "lite")}
    assert former["mini"] == former["reuse-mini"] != former["lite"]


def test_where_two_suites_share_references_ppo_makes_the_same_runs(tmp_path: Path) -> None:
    shared = [suite for suite in map(suites.load, [*suites.names(), *suites.retired()]) if suite.references]
    assert {suite.name: suite.references for suite in shared} == {
        "mujoco-reuse-mini-v1": "mujoco-1m-v1",
        "mujoco-reuse-mini-v0": "mujoco-mini-v0",
        "mujoco-reuse-lite-v0": "mujoco-lite-v0",
    }
    for suite in shared:
        *_, other = suites.of_runs(suite.references or "")
        assert reference_options(suite) == reference_options(other)
        assert set(suite.tasks) <= set(other.tasks)
    # The forward suite fixes the number of updates, which PPO on control makes of its own.
    small = {"task": "InvertedPendulum-v5", "budget": 4_096, "eval_episodes": 1, "eval_intervals": 1}
    for name, fixed in (("own", False), ("fixed", True)):
        lagbench.run(out=tmp_path / name, **{**reference_options(MINI), **small, "updates_fixed": fixed})
    assert content_hash(tmp_path / "own") == content_hash(tmp_path / "fixed")


@pytest.mark.parametrize("name", [*suites.names(), *suites.retired()])
def test_those_that_ship_are_sound(name: str) -> None:
    suite = suites.load(name)
    found = references.load(suite)
    if found is None:
        return
    for task in suite.tasks:
        at = found.tasks[task]
        assert not set(at.reference.seeds) & set(suite.seeds)
        assert len(at.reference.seeds) >= (10 if suite.replaced_by else 20)
        assert len(at.start.seeds) >= (100 if suite.replaced_by else 30)
