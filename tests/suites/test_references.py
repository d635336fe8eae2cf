"""References: what a suite's scores are normalised by."""

import copy
import importlib.resources
import json
from pathlib import Path
from typing import Any

import pytest

import lagbench
from lagbench import suites
from lagbench.errors import LagbenchError
from lagbench.suites import references
from lagbench.suites.references import APART, Reference, TaskReferences
from scripts.references import reference_options
from tests.cli.run_here import content_hash

MINI, REUSE = suites.load("mujoco-mini-v0"), suites.load("mujoco-reuse-mini-v0")
MEANING = importlib.resources.files(suites).joinpath("mujoco-mini-v0.toml").read_text()


def document(**changes: Any) -> dict[str, Any]:
    at = {
        "random": {"mean": 10.0, "standard_error": 3.0, "seeds": [1, 2]},
        "reference": {"mean": 110.0, "standard_error": 4.0, "seeds": [100, 101]},
    }
    suite = {"name": MINI.name, "sha256": MINI.sha256}
    return {"suite": suite, "tasks": {task: copy.deepcopy(at) for task in MINI.tasks}, **changes}


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def ship(data: Any) -> None:
        (tmp_path / "mujoco-mini-v0.references.json").write_text(json.dumps(data))

    monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)
    return ship


def test_a_distance_is_counted_in_standard_errors_of_the_difference() -> None:
    assert TaskReferences(Reference(10.0, 3.0, (1,)), Reference(110.0, 4.0, (2,))).apart == 20.0
    assert TaskReferences(Reference(10.0, 0.0, (1,)), Reference(110.0, 0.0, (2,))).apart == float("inf")


def test_what_ships_is_read(shipped: Any) -> None:
    shipped(document())
    found = references.load(MINI)
    assert found is not None
    expected = TaskReferences(Reference(10.0, 3.0, (1, 2)), Reference(110.0, 4.0, (100, 101)))
    assert found.tasks == dict.fromkeys(MINI.tasks, expected)


def test_a_suite_may_have_none(shipped: Any) -> None:
    assert references.load(MINI) is None


def test_those_of_another_version_are_refused(shipped: Any) -> None:
    shipped(document(suite={"name": MINI.name, "sha256": "0" * 64}))
    with pytest.raises(LagbenchError, match="are of another version of it"):
        references.load(MINI)


def test_those_that_lack_a_task_are_refused(shipped: Any) -> None:
    half = document()
    del half["tasks"]["HalfCheetah-v5"]
    shipped(half)
    with pytest.raises(LagbenchError, match="the references of mujoco-mini-v0 lack HalfCheetah-v5"):
        references.load(MINI)


def test_a_task_that_they_do_not_tell_apart_is_refused(shipped: Any) -> None:
    close = document()
    close["tasks"]["Hopper-v5"]["reference"]["mean"] = 10.0 + APART * 5.0
    shipped(close)
    with pytest.raises(LagbenchError, match=r"Hopper-v5 cannot be scored: its references are 10\.0 standard errors ap"):
        references.load(MINI)


def test_one_suites_may_be_anothers(shipped: Any, tmp_path: Path) -> None:
    (tmp_path / f"{MINI.name}.toml").write_text(MEANING)
    shipped(document())
    version = {"name": REUSE.name, "sha256": REUSE.sha256}
    file = tmp_path / f"{REUSE.name}.references.json"
    file.write_text(json.dumps({"suite": version, "like": MINI.name}))
    assert references.load(REUSE) == references.load(MINI) is not None
    file.write_text(json.dumps({"suite": {**version, "sha256": "0" * 64}, "like": MINI.name}))
    with pytest.raises(LagbenchError, match="the references of mujoco-reuse-mini-v0 are of another version of it"):
        references.load(REUSE)


def test_where_two_suites_share_references_ppo_makes_the_same_runs(tmp_path: Path) -> None:
    files = importlib.resources.files(suites)
    shared = {
        name: json.loads(file.read_text())["like"]
        for name in suites.names()
        if (file := files.joinpath(f"{name}.references.json")).is_file() and "like" in json.loads(file.read_text())
    }
    assert shared["mujoco-reuse-mini-v0"] == "mujoco-mini-v0"
    for name, like in shared.items():
        assert reference_options(suites.load(name)) == reference_options(suites.load(like))
    # The forward suite fixes the number of updates, which PPO on control makes of its own.
    small = {"task": "InvertedPendulum-v5", "budget": 4_096, "eval_episodes": 1, "eval_intervals": 1}
    for name, fixed in (("own", False), ("fixed", True)):
        lagbench.run(out=tmp_path / name, **{**reference_options(MINI), **small, "updates_fixed": fixed})
    assert content_hash(tmp_path / "own") == content_hash(tmp_path / "fixed")


@pytest.mark.parametrize("name", suites.names())
def test_those_that_ship_are_sound(name: str) -> None:
    suite = suites.load(name)
    found = references.load(suite)
    if found is None:
        return
    assert set(found.tasks) == set(suite.tasks)
    for task in found.tasks.values():
        assert len(task.reference.seeds) >= 10
        assert not set(task.reference.seeds) & set(suite.seeds)
        assert len(task.random.seeds) == 100
