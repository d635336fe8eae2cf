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
from lagbench.spec import EvaluationPlan, RunSpec, SuiteVersion
from lagbench.suites import Suite
from lagbench.tasks.gsm8k import data
from tests.tasks.gsm8k.tiny import CHAT, make_model, make_questions, write_lines

# What a suite means never changes under its name. When this test fails, name the change as a new suite.
MEANINGS = {
    "TESTING": "b0ee9c4f9357bc11557c0cc311274dca5b0d73231e7eb4d39a68c41545c13794",
    "gsm8k-mini-split-v0": "8ecd88ef352a4de04a825ee003998432b26f2a45aa4cc7717db074a71e7ac810",
    "gsm8k-mini-v0": "78556e9c33ff99184868c2bb6c92c26af5635445706855870f780afb247bb05d",
    "gsm8k-mini-v1": "f11dece23563f451a208985d0e71613146ec13f8fdc768ba7b1ca255a541ec48",
    "gsm8k-split-v0": "2432480900b37140a50d2b42b87e9eb41b529f979d3faa16aae5cea0565b3da0",
    "gsm8k-v0": "dcab5348d09b5b6e5a893b6b7413fa0a194f0b60545508abda760b65bb2e660d",
    "gsm8k-v1": "6a069a359edb235477433e03f31fda807d1f4e222e33320152625fb9b1ddff63",
    "mujoco-1m-v1": "0a6defc05a328e325684e704d019b1b0a6acf53cdb81d10d783de4ba1db31053",
    "mujoco-lite-v0": "7fc9b34edc25c30e6632a3096100d69b48b655fb433813bca0e3e4caa6ac88c8",
    "mujoco-lite-v1": "17f1c065c754090ad8da6bce5d1ab2b71ff734cd2fb2b32fe328e9e514a5ac9a",
    "mujoco-mini-v0": "f0f4c9444d2628dd83ffe587c8c2082593066efb5da0a2a55051fab9660007c5",
    "mujoco-mini-v1": "1eba654303869d25102772451149f687ac3133079d3ce54c20bb6f1b8a974fa9",
    "mujoco-reuse-lite-v0": "ac5da3f29583f7c188a24526a8d40c1e23927050dc8ce905816dda413bf2e7ff",
    "mujoco-reuse-mini-v0": "58de70db9efefac2b8f065de16cefe35b1e9284854a663ad7698d19951f2a6a3",
    "mujoco-reuse-mini-v1": "1580c38baa4932dc7d8896a81f1e8433dbd07d6e6975dd889338c026e5f1c91b",
    "mujoco-v0": "9b0ef936263e2077e4c9cb490dd7bd0d673ce6bf9db673b10902f20772afc9c7",
    "mujoco-v1": "ec402543d9a95868dc575ce649b1d319ee906d6d1d896007400eba1c3fd691a2",
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


@pytest.mark.parametrize("name", [*suites.names(), *suites.retired()])
def test_the_meaning_of_a_suite_is_frozen(name: str) -> None:
    suite = suites.load(name)
    assert MEANINGS[name] == suite.sha256
    assert MEANINGS[suite.runs.name] == suite.runs.sha256


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
        assert spec.suite == suite.runs
        assert (spec.budget, spec.evaluation, spec.protocol) == (suite.budget, suite.evaluation, suite.protocol(value))


def test_the_task_options_are_those_of_its_tasks(suite: Suite) -> None:
    for task in suite.tasks:
        assert suite.task_options(task) == dict(suite.task(task).options)


def test_lags_are_uniform_or_those_of_an_engine_and_forward_suites_fix_the_updates(suite: Suite) -> None:
    """A suite of one update a version, as engines count, has data of one age."""
    protocol = suite.protocol(suite.values[-1])
    assert protocol.lag_mode == ("fixed" if suite.axis == "lag" and protocol.updates == 1 else "uniform")
    assert protocol.updates_fixed == (suite.axis == "updates" or protocol.forward == "split")
    if suite.axis == "updates":
        assert protocol.lag == 0


def test_the_warm_up_is_a_small_part_of_the_phases(suite: Suite) -> None:
    """At most 15% where lags are uniform, whose mean is half of L, and a fifth where all data is L versions old."""
    most = 0.2 if suite.data["protocol"]["lag_mode"] == "fixed" else 0.15
    phases = suite.budget // suite.protocol(suite.values[-1]).samples
    assert max(suite.protocol(value).lag for value in suite.values) <= most * phases


def test_suites_of_a_family_share_their_runs() -> None:
    """So a suite grows by what is new alone, and a run of one is no other spec than that of the other."""
    mini, lite = suites.load("mujoco-mini-v1"), suites.load("mujoco-lite-v1")
    assert suites.of_runs("mujoco-1m-v1") == [mini, lite]
    assert mini.runs == lite.runs != mini.version
    # Of the command line's options, those that make the cell.
    cells: list[dict[str, Any]] = [{"task": c.task, "seed": c.seed, "lag": c.protocol.lag} for c in mini.cells()]
    assert len(cells) == 45
    for cell in cells[::11]:
        assert mini.resolve(**cell) == lite.resolve(**cell)
        suites.check(mini.resolve(**cell))
    larger = lite.resolve(task="Ant-v5", lag=64, seed=9)
    suites.check(larger)
    with pytest.raises(UsageError, match="mujoco-mini-v1 has no task Ant-v5"):
        mini.check(larger)
    # What is in neither is refused as by the largest.
    with pytest.raises(UsageError, match="mujoco-lite-v1 has no lag 4; choose one of: 0, 2, 8, 32, 64"):
        suites.check(dataclasses.replace(larger, protocol=dataclasses.replace(larger.protocol, lag=4)))


def test_what_a_family_shares_is_all_but_the_grid() -> None:
    mini, lite = suites.load("mujoco-mini-v1"), suites.load("mujoco-lite-v1")
    changed = {**mini.data, "evaluation": {**mini.data["evaluation"], "episodes": 21}}
    assert dataclasses.replace(mini, data=MappingProxyType(changed)).runs != lite.runs
    other = {**mini.data, "seeds": 2, "tasks": ["Hopper-v5"], "protocol": {**mini.data["protocol"], "lag": [0, 1]}}
    assert dataclasses.replace(mini, data=MappingProxyType(other)).runs == lite.runs


@pytest.mark.parametrize("name", suites.retired())
def test_a_retired_suite_names_what_took_its_place_and_its_runs_stay_its_own(name: str) -> None:
    suite = suites.load(name)
    assert suite.replaced_by in suites.names()
    assert suite.evaluation.measure == "mode"
    cell: dict[str, Any] = {"task": suite.tasks[0], suite.axis: suite.values[0]}
    with pytest.raises(UsageError, match=f"{name} is retired; run {suite.replaced_by}, which replaces it"):
        suite.resolve(**cell)


def test_runs_of_a_retired_suite_are_its_cells() -> None:
    suites.check(RunSpec.load(Path(__file__).parents[1] / "former/lag16.json"))


def test_a_suite_of_version_0_keeps_its_measure() -> None:
    """What option would make such a plan there is none."""
    cell: dict[str, Any] = {"suite": "gsm8k-mini-split-v0", "task": "GSM8kMini-v0", "updates": 4}
    assert suites.resolve(**cell).evaluation == EvaluationPlan(1_200, 5)


def test_options_that_are_the_suites_own_may_be_given() -> None:
    given = suites.resolve(
        suite="TESTING",
        task="lagbench/Hopper-v5",
        lag=2,
        updates=8,
        budget=2048,
        hidden=[64, 64],
        config={"gamma": 0.9},
    )
    assert given.config["gamma"] == 0.9
    assert given.task == "Hopper-v5"


def test_a_suite_may_fix_the_networks() -> None:
    data = {**suites.load("TESTING").data, "protocol": {**suites.load("TESTING").data["protocol"], "hidden": [32, 16]}}
    suite = Suite("WIDE", "", data)
    assert {cell.protocol.hidden for cell in suite.cells()} == {(32, 16)}
    assert suite.resolve(task="Hopper-v5", lag=0, hidden=(32, 16)).protocol.hidden == (32, 16)
    with pytest.raises(UsageError, match=r"hidden is \[32, 16\] in WIDE and cannot be \(64, 64\)"):
        suite.resolve(task="Hopper-v5", lag=0, hidden=(64, 64))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {**HOPPER, "hidden": (8,)},
            "the specification is not in TESTING: protocol.hidden is [8], was missing in the suite",
        ),
        ({"suite": "TESTING", "task": "Hopper-v5"}, "TESTING is a grid; choose a cell's lag (--lag): 0, 2"),
        ({**HOPPER, "task": "Ant-v5"}, "TESTING has no task Ant-v5; choose one of: InvertedPendulum-v5, Hopper-v5"),
        ({**HOPPER, "seed": 2}, "TESTING has the seeds 0-1, not 2"),
        ({**HOPPER, "eval_episodes": 4}, "eval_episodes is 3 in TESTING and cannot be 4"),
        (
            {**HOPPER, "task_options": {"max_episode_steps": "9"}},
            "the task option max_episode_steps has its default in TEST",
        ),
        ({**HOPPER, "updates": 4}, "updates is 8 in TESTING and cannot be 4; an algorithm makes fewer with --set upd"),
        (
            {"suite": "mujoco-reuse-mini-v1", "task": "Hopper-v5"},
            "mujoco-reuse-mini-v1 is a grid; choose a cell's updates (--updates): 8, 40, 80, 160",
        ),
    ],
)
def test_what_would_leave_the_suite_is_refused(options: dict[str, Any], sentence: str) -> None:
    assert refusal(**options).startswith(sentence)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"seed": 9}, "TESTING has the seeds 0-1, not 9"),
        ({"budget": 4096}, "the specification is not in TESTING: budget is 4096, was 2048 in the suite"),
        ({"suite": SuiteVersion("TESTING", "0" * 64)}, "the specification is not of TESTING (b0ee9c4f9357…)"),
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


def test_a_cell_may_have_a_seed_that_was_drawn() -> None:
    """For a rerun, on seeds that nobody chose; whoever runs the suite has its own."""
    suite = suites.load("TESTING")
    own = suite.resolve(algo="ppo", task="Hopper-v5", lag=2, seed=1)
    suite.check(dataclasses.replace(own, seed=2**32))
    with pytest.raises(UsageError, match="TESTING has the seeds 0-1, not 2"):
        suite.check(dataclasses.replace(own, seed=2))
    with pytest.raises(UsageError, match="TESTING has the seeds 0-1, not 4294967296"):
        suite.resolve(algo="ppo", task="Hopper-v5", lag=2, seed=2**32)
