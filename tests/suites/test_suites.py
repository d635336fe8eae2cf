"""Suites: a frozen grid, whose cells alone can be run under its name."""

import dataclasses
import itertools
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import lagbench
from lagbench import suites
from lagbench.errors import UsageError
from lagbench.policies import pretrained
from lagbench.spec import RunSpec, SuiteVersion
from lagbench.suites import Suite
from lagbench.tasks.gsm8k import data
from tests.tasks.gsm8k.tiny import CHAT, make_model, make_questions, write_lines

# What a suite means never changes under its name. When this test fails, name the change as a new suite.
MEANINGS = {
    "TESTING": "dca4c4d9fc0a8956525aa269176e3def2fccb0abbe45476aa96affd192d3376a",
    "gsm8k-mini-split-v0": "8ecd88ef352a4de04a825ee003998432b26f2a45aa4cc7717db074a71e7ac810",
    "gsm8k-mini-v0": "78556e9c33ff99184868c2bb6c92c26af5635445706855870f780afb247bb05d",
    "gsm8k-v0": "dcab5348d09b5b6e5a893b6b7413fa0a194f0b60545508abda760b65bb2e660d",
    "mujoco-lite-v0": "7fc9b34edc25c30e6632a3096100d69b48b655fb433813bca0e3e4caa6ac88c8",
    "mujoco-mini-v0": "f0f4c9444d2628dd83ffe587c8c2082593066efb5da0a2a55051fab9660007c5",
    "mujoco-reuse-lite-v0": "ac5da3f29583f7c188a24526a8d40c1e23927050dc8ce905816dda413bf2e7ff",
    "mujoco-reuse-mini-v0": "58de70db9efefac2b8f065de16cefe35b1e9284854a663ad7698d19951f2a6a3",
    "mujoco-v0": "9b0ef936263e2077e4c9cb490dd7bd0d673ce6bf9db673b10902f20772afc9c7",
}

HOPPER: dict[str, Any] = {"suite": "TESTING", "task": "Hopper-v5", "lag": 0}


@pytest.fixture(params=suites.names())
def suite(request: pytest.FixtureRequest) -> Suite:
    return suites.load(request.param)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same names as on the hub: a tiny model, and short questions, as many as there are to test."""
    model, questions = make_model(tmp_path / "model", context=1024, chat=CHAT), tmp_path / "questions"
    for name in ("train", "test"):
        write_lines(questions / f"{name}.jsonl", make_questions(1_319))
    find, load = pretrained.find, data.load
    monkeypatch.setattr(pretrained, "find", lambda x: find(str(model) if x.startswith("Qwen/") else x))
    monkeypatch.setattr(data, "load", lambda x, name: load(str(questions) if x == data.HUB else x, name))


def refusal(**options: Any) -> str:
    with pytest.raises(UsageError) as refused:
        suites.resolve(**options)
    return str(refused.value)


def test_the_meaning_of_a_suite_is_frozen(suite: Suite) -> None:
    assert MEANINGS[suite.name] == suite.sha256


def test_the_hash_is_of_the_meaning_alone(suite: Suite) -> None:
    assert dataclasses.replace(suite, about="other words").sha256 == suite.sha256
    other = {**suite.data, "budget": suite.budget + 1}
    assert dataclasses.replace(suite, data=MappingProxyType(other)).sha256 != suite.sha256
    shuffled = dict(reversed(list(suite.data.items())))
    assert dataclasses.replace(suite, data=MappingProxyType(shuffled)).sha256 == suite.sha256


def test_the_grid_is_the_product_of_tasks_values_and_seeds(suite: Suite) -> None:
    cells = [(c.task, getattr(c.protocol, suite.axis), c.seed) for c in suite.cells()]
    assert cells == list(itertools.product(suite.tasks, suite.values, suite.seeds))
    assert sorted(suite.values) == list(suite.values)


@pytest.mark.usefixtures("hub")
def test_every_cell_can_be_run_and_is_of_the_suite(suite: Suite) -> None:
    for task, value in itertools.product(suite.tasks, suite.values):
        spec = lagbench.resolve(suite=suite.name, task=task, seed=suite.seeds[-1], algo="vaco", **{suite.axis: value})
        suite.check(spec)
        suites.check(RunSpec.from_json(spec.to_json()))
        assert spec.suite == SuiteVersion(suite.name, suite.sha256)
        assert (spec.budget, spec.evaluation, spec.protocol) == (suite.budget, suite.evaluation, suite.protocol(value))


def test_backward_suites_draw_uniformly_and_forward_suites_fix_the_updates(suite: Suite) -> None:
    protocol = suite.protocol(suite.values[-1])
    assert protocol.lag_mode == "uniform"
    assert protocol.updates_fixed == (suite.axis == "updates" or protocol.forward == "split")
    if suite.axis == "updates":
        assert protocol.lag == 0


def test_the_warm_up_is_at_most_fifteen_percent_of_the_phases(suite: Suite) -> None:
    phases = suite.budget // suite.protocol(suite.values[-1]).samples
    assert max(suite.protocol(value).lag for value in suite.values) <= 0.15 * phases


def test_options_that_are_the_suites_own_may_be_given() -> None:
    given = suites.resolve(
        suite="TESTING", task="lagbench/Hopper-v5", lag=2, updates=8, budget=2048, config={"gamma": 0.9}
    )
    assert given.config["gamma"] == 0.9
    assert given.task == "Hopper-v5"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"suite": "TESTIN"}, "unknown suite 'TESTIN'; did you mean 'TESTING'?"),
        ({"suite": "TESTING"}, "TESTING is a grid; choose a cell's task (--task): InvertedPendulum-v5, Hopper-v5"),
        ({"suite": "TESTING", "task": "Hopper-v5"}, "TESTING is a grid; choose a cell's lag (--lag): 0, 2"),
        ({**HOPPER, "task": "Ant-v5"}, "TESTING has no task Ant-v5; choose one of: InvertedPendulum-v5, Hopper-v5"),
        ({**HOPPER, "lag": 1}, "TESTING has no lag 1; choose one of: 0, 2"),
        ({**HOPPER, "seed": 2}, "TESTING has the seeds 0-1, not 2"),
        ({**HOPPER, "budget": 4096}, "budget is 2048 in TESTING, and cannot be 4096"),
        ({**HOPPER, "eval_episodes": 3}, "eval_episodes is 2 in TESTING, and cannot be 3"),
        (
            {**HOPPER, "task_options": {"max_episode_steps": "9"}},
            "the task option max_episode_steps is as it comes in TEST",
        ),
        ({**HOPPER, "updates": 4}, "updates is 8 in TESTING, and cannot be 4; an algorithm makes fewer with --set upd"),
        (
            {"suite": "mujoco-reuse-mini-v0", "task": "Hopper-v5"},
            "mujoco-reuse-mini-v0 is a grid; choose a cell's updates (--updates): 8, 16, 40, 80, 160",
        ),
    ],
)
def test_what_would_leave_the_suite_is_refused(options: dict[str, Any], sentence: str) -> None:
    if sentence == "no cell":
        assert refusal(**options).startswith(
            "mujoco-reuse-mini-v0 is a grid; choose a cell's updates (--updates): 8, 16"
        )
    else:
        assert refusal(**options).startswith(sentence)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 9}, "TESTING has the seeds 0-1, not 9"),
        ({"task": "Ant-v5"}, "TESTING has no task Ant-v5"),
        ({"budget": 4096}, "the specification leaves TESTING: budget is 4096, was 2048 in the suite"),
        ({"suite": SuiteVersion("TESTING", "0" * 64)}, "the specification is not of TESTING (dca4c4d9fc0a…)"),
        ({"suite": SuiteVersion("GONE", "0" * 64)}, "unknown suite 'GONE'"),
    ],
)
def test_a_spec_that_only_claims_to_be_of_a_suite_is_not_run(
    change: dict[str, Any], sentence: str, tmp_path: Any
) -> None:
    spec = dataclasses.replace(suites.resolve(**HOPPER), **change)
    with pytest.raises(UsageError) as refused:
        lagbench.run(spec=spec, out=tmp_path / "run")
    assert str(refused.value).startswith(sentence)
    assert not (tmp_path / "run").exists()
