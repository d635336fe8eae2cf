"""``lagbench show``: runs whatever became of them, tasks and algorithms."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lagbench import suites
from lagbench.scoring import power
from lagbench.suites import references
from lagbench.suites.references import Reference, References, TaskReferences
from tests.cli.run_here import lagbench


def test_a_run(finished: Path) -> None:
    done = lagbench("show", finished)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    about, curve, hashes = (part.splitlines() for part in done.out.split("\n\n"))
    assert about[0].split() == ["algorithm", "vaco"]
    assert any(line.startswith("lag ") and "2 (uniform)" in line for line in about)
    assert any(line.startswith("config ") and "delta=0.4 reference=behaviour align=true" in line for line in about)
    assert any(line.startswith("status ") and line.endswith(" completed") for line in about)
    assert any(re.fullmatch(r"final evaluation +[-\d.]+ over 1 episode of sampled actions", line) for line in about)
    assert re.split(" {2,}", curve[0]) == ["actor steps", "sampled actions", "deterministic actions"]
    assert [line.split()[0] for line in curve[1:]] == ["0", "64", "128", "192", "256", "320"]
    assert {line.split()[0] for line in hashes[1:]} == {"trajectories", "episodes", "evaluations", "phases"}
    assert not any(line != line.rstrip() for line in lines)


def test_a_run_as_json(finished: Path) -> None:
    facts = lagbench("show", finished, "--json").json
    result = json.loads((finished / "result.json").read_text())
    assert facts["run"] == str(finished)
    assert facts["status"] == "completed"
    assert facts["spec"] == json.loads((finished / "spec.json").read_text())
    assert facts["summary"] == result["summary"]
    assert facts["content_hash"] == result["content_hash"]
    assert facts["measure"] == "stochastic"
    assert list(facts["curves"]) == ["stochastic", "mode"]
    for mode, curve in facts["curves"].items():
        assert [point["fraction"] for point in curve] == [i / 10 for i in range(11)]
        assert curve[-1]["mean"] == result["summary"]["final"][mode]["mean"]
        assert (curve[-1]["budget_used"], curve[-1]["standard_error"]) == (320, None)


def test_a_run_by_its_name(finished: Path, here: Path) -> None:
    shutil.copytree(finished, here / "runs/Hopper-v5/vaco/lag2-u20-seed0-0")
    assert "completed" in lagbench("show", "lag2-u20-seed0-0").out
    sentence = lagbench("show", "lag2-u20-seed0").sentence
    assert sentence == (
        "Error: 'lag2-u20-seed0' is not a task, algorithm or suite, and there is no run 'lag2-u20-seed0', neither as "
        "a path nor below runs/; did you mean 'lag2-u20-seed0-0'?"
    )


@pytest.mark.parametrize("name", ["vaco", "Vaco.py"])
def test_a_directory_is_a_run_whatever_it_is_called(finished: Path, here: Path, name: str) -> None:
    shutil.copytree(finished, here / name)
    assert lagbench("show", f"./{name}").out.startswith("algorithm")
    assert "completed" in lagbench("show", f"./{name}").out


def test_a_task() -> None:
    done = lagbench("show", "Hopper-v5")
    assert "task_id: Hopper-v5\ndomain: control\n" in done.out
    assert "max_episode_steps: 1000\n" in done.out
    assert lagbench("show", "lagbench/Hopper-v5").out == done.out
    assert lagbench("show", "Hopper-v5", "--json").json["action_space"] == "Box(-1.0, 1.0, (3,), float32)"


def test_an_algorithm(here: Path) -> None:
    done = lagbench("show", "vaco")
    assert done.code == 0
    assert done.out.startswith("algorithm: vaco\nabout: ")
    assert "\n  learning_rate: 0.0003 — a number in [0, inf)\n  anneal: true — true or false\n" in done.out
    assert "\n  updates: none — a whole number at least 1 or none\n  delta: 0.2 — a number at least 0\n" in done.out
    assert "\n  reference: behaviour — 'behaviour' or 'proximal'\n" in done.out
    document = lagbench("show", "vaco", "--json").json
    config, takes = document["config"], document["takes"]
    assert (takes["gamma"], takes.keys()) == ("a number in [0, 1]", config.keys())
    assert (config["delta"], config["updates"], config["filter"]) == (0.2, None, True)
    # Those of a domain as they hold there, wherever they come from.
    found = lagbench("show", "impala", "--json").json["presets"]
    assert found["language"] == {"learning_rate": 1e-4, "standardize": "none"}
    assert (found["control"]["learning_rate"], found["control"]["updates"]) == (1e-3, 16)
    assert "\n  strength: 1.0" in lagbench("show", "mine.py:Mine").out


@pytest.mark.parametrize(
    ("what", "code", "sentence"),
    [
        ("Hopper-v6", 2, "unknown task, algorithm or suite 'Hopper-v6'; did you mean 'Hopper-v5'? Known: Ant-v4, "),
        (
            "zzz",
            2,
            "'zzz' is not a task, algorithm or suite, and there is no run 'zzz', neither as a path nor below runs/; "
            "give",
        ),
        ("mine.py", 2, "'mine.py' needs the name of its class: mine.py:Mine"),
        (".", 1, "'.' is not the directory of a run: it has no spec.json"),
    ],
)
def test_what_cannot_be_shown(here: Path, what: str, code: int, sentence: str) -> None:
    done = lagbench("show", what)
    assert done.code == code
    assert sentence in done.sentence


def test_a_suite() -> None:
    done = lagbench("show", "mujoco-mini-v1")
    assert (done.code, done.err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert rows["lag"] == "0, 8, 32 (uniform)"
    assert rows["family"] == "mujoco-1m-v1: shares its runs with mujoco-lite-v1"
    assert rows["runs"] == "45 per algorithm: about 1 h 41 min on one core"
    assert rows["evaluation"] == (
        "20 episodes of sampled actions and 10 of deterministic actions, at every 1/10 of the budget"
    )
    assert rows["rules"] == "one set of hyperparameters for every task, lag, number of updates and seed"
    facts = lagbench("show", "mujoco-reuse-mini-v1", "--json").json
    assert (facts["axis"], facts["runs"], facts["protocol"]["updates"]) == ("updates", 24, [8, 40, 80, 160])


def test_a_suite_of_unmeasured_cost_says_what_its_estimate_is_from() -> None:
    for name, runs in (("gsm8k-v1", 15), ("gsm8k-split-v0", 20)):
        said = f"{runs} per algorithm: per run about 760 h on one CPU core (extrapolated from SmolLM2-135M), "
        assert said in lagbench("show", name).out


def test_a_suites_references(monkeypatch: pytest.MonkeyPatch) -> None:
    at = TaskReferences(Reference(16.04, 1.26, tuple(range(30))), Reference(2351.0, 80.0, tuple(range(20))))
    monkeypatch.setattr(references, "load", lambda suite: References(dict.fromkeys(suite.tasks, at)))
    rows = dict(line.split(maxsplit=1) for line in lagbench("show", "mujoco-mini-v1").out.splitlines())
    assert rows["references"] == "returns that score 0 and 1:"
    text = "0: version 0, 16.0 ± 1.3 (30 seeds); 1: PPO at lag 0, 2351.0 ± 80.0 (20 seeds)"
    assert [rows[task] for task in ("Hopper-v5", "Walker2d-v5", "HalfCheetah-v5")] == [text] * 3


def test_a_suites_power(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the spreads of its published runs, as soon as there are any."""
    assert "power" not in lagbench("show", "mujoco-mini-v1", "--json").json
    mini = suites.load("mujoco-mini-v1")
    document = {"suite": {"name": mini.name, "sha256": mini.sha256}, "spreads": {"ppo": 0.2, "vaco": 0.3, "spo": 0.3}}
    (tmp_path / "power.json").write_text(json.dumps(document))
    monkeypatch.setattr(power, "file_of", lambda suite: tmp_path / "power.json")
    rows = dict(line.split(maxsplit=1) for line in lagbench("show", "mujoco-mini-v1").out.splitlines())
    numbers = r"0\.\d\d/0\.\d\d/0\.\d\d"
    assert re.fullmatch(
        rf"Power, by the spread of 3 published algorithms: lag scores that differ by 0\.1/0\.2/0\.3 are separated with "
        rf"probability {numbers} \(5 seeds on 3 tasks\), with Holm's correction over 3 pairs at least {numbers}\.",
        rows["power"],
    )
    assert lagbench("show", "mujoco-mini-v1", "--json").json["power"] == rows["power"]


def test_a_retired_suite_and_a_family() -> None:
    done = lagbench("show", "mujoco-mini-v0")
    assert (done.code, done.err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in done.out.splitlines())
    assert rows == {
        "suite": "mujoco-mini-v0",
        "retired": "replaced by mujoco-mini-v1; its runs are still scored, with deterministic actions",
    }
    assert lagbench("show", "mujoco-mini-v0", "--json").json["replaced_by"] == "mujoco-mini-v1"
    assert lagbench("show", "mujoco-1m-v1").sentence == (
        "Error: mujoco-1m-v1 is a family of suites; choose one of: mujoco-mini-v1, mujoco-lite-v1"
    )
    refused = lagbench("sweep", "--suite", "mujoco-mini-v0", "--algo", "ppo")
    assert (refused.code, refused.sentence) == (
        2,
        "Error: mujoco-mini-v0 is retired; run mujoco-mini-v1, which replaces it (docs/suites.md)",
    )
