"""A run as data: what is filled in, what is refused, and that it goes through JSON without loss."""

import dataclasses
import hashlib
import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagbench.errors import LagbenchError, UsageError
from lagbench.source import known
from lagbench.spec import EvaluationPlan, RunSpec, SuiteVersion, resolve
from tests.refusals import refusal

SMALL: dict[str, Any] = {"actors": 8, "phase_steps": 16, "minibatch": 32, "budget": 1024}
MINE = """
from lagbench import Algorithm

class Mine(Algorithm):
    presets = {"control": {"learning_rate": 1e-2}, "language": {"learning_rate": 1e-6}}

    class Config(Algorithm.Config):
        strength: float = 1.0

    def loss(self, batch):
        return -batch.objective(self.policy.evaluate(batch).log_prob * batch.advantage), {}

class Lossless(Algorithm):
    pass

class Unconfigured(Algorithm):
    class Config:
        strength = 1.0

    loss = Mine.loss

class Stranger:
    pass

def function():
    pass
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return file


def test_the_defaults_are_those_of_the_command_line() -> None:
    spec = resolve()
    p = spec.protocol
    assert (spec.task, spec.algorithm.name, spec.budget, spec.seed) == ("Hopper-v5", "ppo", 1_000_000, 0)
    assert (p.lag, p.lag_mode, p.forward, p.actors, p.phase_steps, p.minibatch) == (0, "uniform", "reuse", 32, 64, 256)
    assert p.updates == 10 * p.epoch_updates
    assert p.samples <= 2048
    assert spec.evaluation == EvaluationPlan(episodes=20, intervals=10, mode_episodes=10)
    assert (spec.suite, spec.record, spec.device, spec.torch_threads) == (None, "trajectories", "cpu", 1)
    assert spec.phases == 1_000_000 // p.samples
    assert spec.domain.name == "control"


def test_options_are_read_as_on_the_command_line() -> None:
    text: dict[str, Any] = {
        "actors": "8",
        "phase_steps": "16.0",
        "minibatch": "32",
        "budget": "1.024k",
        "seed": "1e3",
        "lag": "2",
    }
    others: dict[str, Any] = {"updates_fixed": "true", "eval_episodes": "3", "updates": "none", "torch_threads": 2.0}
    spec = resolve(**text, **others, config={"clip": "inf"})
    assert spec == resolve(
        **SMALL, seed=1000, lag=2, updates_fixed=True, eval_episodes=3, torch_threads=2, config={"clip": math.inf}
    )


def test_the_algorithm_is_named_with_what_tells_its_source(mine: Path) -> None:
    spec = resolve(algo="vaco", **SMALL)
    assert spec.to_json()["algorithm"] == {"name": "vaco", "distribution": "lagbench", "version": version("lagbench")}
    assert spec.load_algorithm().__name__ == "VACO"
    assert resolve(algo=spec.load_algorithm(), **SMALL) == spec
    own = resolve(algo=f"{mine}:Mine", **SMALL)
    digest = hashlib.sha256(MINE.encode()).hexdigest()
    assert own.to_json()["algorithm"] == {"name": f"{mine}:Mine", "sha256": digest}
    assert resolve(algo=own.load_algorithm(), **SMALL) == own


def test_the_config_is_resolved_whole_presets_and_all(mine: Path) -> None:
    spec = resolve(algo=f"{mine}:Mine", **SMALL, config={"strength": "2"})
    assert spec.config["strength"] == 2.0
    assert spec.config["learning_rate"] == 1e-2
    assert spec.config["gamma"] == 0.99
    assert spec.config["updates"] is None
    assert resolve(algo=f"{mine}:Mine", **SMALL, config={"learning_rate": 0.5}).config["learning_rate"] == 0.5


def test_source_that_has_changed_is_not_run(mine: Path) -> None:
    spec = resolve(algo=f"{mine}:Mine", **SMALL)
    mine.write_text(MINE.replace("strength: float = 1.0", "strength: float = 2.0"))
    # It is as it was specified; where nobody has it any more, as in another process, it is not what is there.
    assert spec.load_algorithm().Config().strength == 1.0
    with mock.patch.dict(known._sources, clear=True):
        with pytest.raises(UsageError) as caught:
            spec.load_algorithm()
        assert f"the source of {mine}:Mine has changed since this run was specified" in str(caught.value)
        assert spec.algorithm.source[:12] in str(caught.value)
        assert "start a new run, or restore" in str(caught.value)
        mine.write_text(MINE)
        assert spec.load_algorithm().Config().strength == 1.0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"task": "Hoper-v5"}, "unknown task 'Hoper-v5'; did you mean 'Hopper-v5'? Known: Ant-v4, Ant-v5, "),
        ({"algo": 5}, "algo must be text or a class, not 5"),
        ({"algo": int}, "int is not an algorithm: its class must be a subclass of lagbench.Algorithm"),
        ({"algo": "vacco"}, "unknown algorithm 'vacco'; did you mean 'vaco'? Known: "),
        ({"config": {"learnin_rate": 1}}, "unknown hyperparameter 'learnin_rate'; did you mean 'learning_rate'?"),
        ({"task_options": {"max_steps": 3}}, "unknown task option 'max_steps'; did you mean 'max_episode_steps'?"),
        # 0 is a number like another, and no way to ask for the default.
        ({"actors": 0}, "actors must be in [1, 2147483647], not 0"),
        ({"budget": 127}, "127 actor steps is less than one phase, which needs 128 (8 actors × 16 steps); give at"),
        ({"budget": 0}, "give at least --budget 128"),
        ({"record": "trajectory"}, "unknown record value 'trajectory'; did you mean 'trajectories'? Known: episodes, "),
        ({"seed": -1}, "seed must be in [0, 9223372036854775807], not -1"),
        ({"eval_episodes": 0}, "eval_episodes must be in [1, 2147483647], not 0"),
        ({"eval_mode_episodes": 0}, "eval_mode_episodes must be in [1, 2147483647], not 0"),
        ({"torch_threads": 0}, "torch_threads must be in [1, 2147483647], not 0"),
        # What no column of the records holds.
        ({"seed": 2**63}, "seed must be in [0, 9223372036854775807], not 9223372036854775808"),
        ({"eval_episodes": 2**31}, "eval_episodes must be in [1, 2147483647], not 2147483648"),
        ({"budget": 2**63}, "budget must be at most 9223372036854775807, not 9223372036854775808"),
        ({"budget": 2**63 - 1}, "the phases of a run must be in [1, 2147483647], not 72057594037927935"),
        # What is no value of its option, and no option.
        ({"lag": "x"}, "lag must be a whole number, not 'x'"),
        ({"seed": 1.5}, "seed must be a whole number, not 1.5"),
        ({"task": 3}, "task must be text, not 3"),
        ({"updates_fixed": "perhaps"}, "updates_fixed must be true or false, not 'perhaps'"),
        ({"config": [("clip", 1)]}, "config must be Mapping or none, not [('clip', 1)]"),
        ({"config": {3: 1}}, "unknown hyperparameter '3'. Known: "),
        ({"budgt": 1}, "unknown option 'budgt'; did you mean 'budget'? Known: actor_processes, actors, algo, "),
        ({"task": "GSM8kMini-v0", "phase_steps": None, "hidden": (8,)}, "--hidden sets the networks of"),
        ({"device": "gpu"}, "unknown device 'gpu'; did you mean 'cpu'? Known: cpu, cuda."),
        ({"device": "cuda:99"}, "--device cuda:99: no CUDA device 99 can be used here; use --device cpu"),
    ],
)  # fmt: skip
def test_what_cannot_be_run_is_refused_in_a_sentence(options: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(resolve, **{**SMALL, **options})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Mime", "unknown class in {0} 'Mime'; did you mean 'Mine'? Known: Lossless, Mine, "),
        ("Lossless", "{0}:Lossless has no `loss`; write loss(self, batch) -> (scalar, metrics)"),
        ("Stranger", "{0}:Stranger is not an algorithm: its class must be a subclass of lagbench.Algorithm"),
        ("function", "{0}:function is not an algorithm: its class must be a subclass of lagbench.Algorithm"),
        ("Unconfigured", "{0}:Unconfigured cannot be configured: its Config must be a subclass of Algorithm.Config"),
    ],
)
def test_a_class_that_is_no_algorithm_is_refused_in_a_sentence(mine: Path, name: str, sentence: str) -> None:
    assert sentence.format(mine) in refusal(resolve, algo=f"{mine}:{name}", **SMALL)


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_a_cuda_device_that_is_not_there() -> None:
    assert (
        refusal(resolve, device="cuda", **SMALL) == "--device cuda: no CUDA device can be used here; use --device cpu"
    )


SPECS = st.fixed_dictionaries(
    {},
    optional={
        "algo": st.sampled_from(["ppo", "vaco", "impala"]),
        "task": st.sampled_from(["Hopper-v5", "lagbench/HalfCheetah-v4"]),
        "lag": st.integers(0, 64),
        "lag_mode": st.sampled_from(["uniform", "fixed"]),
        "updates": st.sampled_from([4, 8, 40]),
        "updates_fixed": st.booleans(),
        "budget": st.integers(128, 10**9),
        "seed": st.integers(0, 2**63 - 1),
        "suite": st.none() | st.builds(SuiteVersion, name=st.text(), sha256=st.text()),
        "record": st.sampled_from(["trajectories", "episodes"]),
        "eval_episodes": st.integers(1, 100),
        "eval_mode_episodes": st.none() | st.integers(1, 100),
        "eval_intervals": st.integers(1, 100),
        "torch_threads": st.integers(1, 8),
        "hidden": st.lists(st.integers(1, 512), min_size=1, max_size=3),
        "config": st.fixed_dictionaries(
            {},
            optional={
                "learning_rate": st.floats(0, allow_infinity=False),
                "updates": st.none() | st.integers(1, 100),
                "anneal": st.booleans(),
                "standardize": st.sampled_from(["full", "scale", "none"]),
            },
        ),
        "task_options": st.fixed_dictionaries({}, optional={"max_episode_steps": st.integers(1, 10**6)}),
    },
)


@given(SPECS)
def test_a_spec_goes_through_json_without_loss(options: dict[str, Any]) -> None:
    spec = resolve(**{**SMALL, **options})
    text = json.dumps(spec.to_json())
    again = RunSpec.from_json(json.loads(text))
    assert again == spec
    assert json.dumps(again.to_json()) == text
    assert again.domain is spec.domain
    assert again.load_algorithm() is spec.load_algorithm()


def test_the_mean_action_is_played_as_often_as_is_asked_for_and_by_itself_no_more_often_than_samples() -> None:
    assert resolve(eval_episodes=4).evaluation == EvaluationPlan(4, 10, 4)
    assert resolve(eval_episodes=40).evaluation == EvaluationPlan(40, 10, 10)
    assert resolve(eval_episodes=4, eval_mode_episodes=9).evaluation == EvaluationPlan(4, 10, 9)


def test_a_plan_says_what_is_scored_and_what_stands_beside_it() -> None:
    plan = EvaluationPlan(20, 10, 10)
    assert plan.measure == "stochastic"
    assert list(plan.modes(last=False).items()) == [("stochastic", 20), ("mode", 10)]
    assert plan.modes(last=True) == plan.modes(last=False)
    former = EvaluationPlan(10, 5)
    assert former.measure == "mode"
    assert (former.modes(last=False), former.modes(last=True)) == ({"mode": 10}, {"mode": 10, "stochastic": 10})


def test_a_spec_of_version_0_is_read_and_written_as_it_was() -> None:
    file = Path(__file__).parent / "former/lag0.json"
    document = json.loads(file.read_text())
    spec = RunSpec.from_json(document)
    assert document["evaluation"] == {"episodes": 10, "intervals": 5}
    assert (spec.evaluation, spec.to_json()) == (EvaluationPlan(10, 5), document)


@pytest.mark.parametrize("given", ["10", 1.5, True])
def test_a_plan_of_something_else_than_whole_numbers_is_refused(given: Any) -> None:
    document = resolve(**SMALL).to_json()
    document["evaluation"]["mode_episodes"] = given
    with pytest.raises(UsageError, match=r"mode_episodes must be a whole number in .* or none, not"):
        RunSpec.from_json(document)


@given(st.integers(128, 10**7), st.integers(1, 50))
def test_every_fraction_is_evaluated_once_at_the_first_phase_that_reaches_it(budget: int, intervals: int) -> None:
    spec = resolve(**{**SMALL, "budget": budget}, eval_intervals=intervals)
    due = spec.evaluation_phases()
    assert 0 in due[0]
    assert 1.0 in due[spec.phases]
    assert list(due) == sorted(due)
    assert [f for fractions in due.values() for f in fractions] == [i / intervals for i in range(intervals + 1)]
    for phase, fractions in due.items():
        for f in fractions:
            assert phase >= f * spec.phases - 1e-6
            assert phase == 0 or phase - 1 < f * spec.phases + 1e-6
    assert len(due) == min(spec.phases, intervals) + 1


def test_a_small_budget_lets_one_evaluation_stand_for_several_fractions() -> None:
    spec = resolve(**{**SMALL, "budget": 3 * 128 + 127}, eval_intervals=10)
    assert spec.phases == 3
    assert spec.evaluation_phases() == {0: [0.0], 1: [0.1, 0.2, 0.3], 2: [0.4, 0.5, 0.6], 3: [0.7, 0.8, 0.9, 1.0]}
    assert resolve(**{**SMALL, "budget": 128}, eval_intervals=2).evaluation_phases() == {0: [0.0], 1: [0.5, 1.0]}


def test_a_spec_is_frozen() -> None:
    spec: Any = resolve(**SMALL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.seed = 1
    with pytest.raises(TypeError):
        spec.config["gamma"] = 0.5
    with pytest.raises(TypeError):
        spec.task_options["max_episode_steps"] = 3


def test_a_spec_is_loaded_from_its_file(tmp_path: Path) -> None:
    spec = resolve(**SMALL, lag=3, config={"clip": math.inf})
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(spec.to_json()))
    assert RunSpec.load(file) == spec


def edited(**changes: Any) -> Any:
    data = resolve(**SMALL).to_json()
    for name, value in changes.items():
        if isinstance(value, dict):
            data[name] = {**data[name], **value}
        else:
            data[name] = value
    return json.loads(json.dumps(data))


def without(name: str, inner: str | None = None) -> Any:
    data = edited()
    del (data[name] if inner else data)[inner or name]
    return data


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (edited(format_version=1), "the specification is not complete: "),
        (edited(format_version=[2]), "the specification has format [2]; this lagbench reads up to 2"),
        ([], "this is not a run specification: format_version is missing"),
        (
            edited(format_version=99),
            "the specification has format 99; this lagbench reads up to 2: install a newer one",
        ),
        (edited(sed=1), "unknown field in the specification 'sed'; did you mean 'seed'? Known: algorithm, budget, "),
        (without("seed"), "the specification is not complete"),
        (without("protocol", "lag"), "the specification is not complete"),
        (without("algorithm", "version"), "the specification is not complete"),
        (edited(protocol=[]), "the specification is not complete"),
        # What resolve refuses is refused from a file, too.
        (edited(protocol={"lag": -1}), "lag must be in [0, 2147483647], not -1"),
        (edited(protocol={"hidden": ["64"]}), "hidden must name at least one layer"),
        (edited(protocol={"lag": "3"}), "lag must be a whole number in [0, 2147483647], not '3'"),
        (edited(budget=127), "a budget of 127 actor steps is less than one phase"),
        (edited(budget="1M"), "budget must be a whole number at most 9223372036854775807, not '1M'"),
        (edited(seed=0.5), "seed must be a whole number in [0, 9223372036854775807], not 0.5"),
        (edited(algorithm={"name": 3}), "name must be text, not 3"),
    ],
)
def test_what_is_no_spec_is_refused_in_a_sentence(tmp_path: Path, data: Any, sentence: str) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps(data))
    assert sentence in refusal(RunSpec.load, file)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"clp": 0.1}, "unknown hyperparameter 'clp'; did you mean 'clip'?"),
        ({"clip": "wide"}, "clip must be a number above 0, not 'wide'"),
        ({"clip": -1.0}, "clip must be above 0, not -1.0"),
    ],
)
def test_a_specs_hyperparameters_are_checked_where_the_algorithm_is_loaded(config: Any, sentence: str) -> None:
    spec = RunSpec.from_json(edited(config=config))
    assert sentence in refusal(spec.load_algorithm)


def test_a_file_that_is_not_there_or_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        RunSpec.load(tmp_path / "spec.json")
    for content in (b"{", b"\xff\xfe\x00", b""):
        (tmp_path / "spec.json").write_bytes(content)
        with pytest.raises(LagbenchError, match=r"spec\.json' is not JSON"):
            RunSpec.load(tmp_path / "spec.json")


def test_an_algorithm_of_the_other_domain_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^gspo is for language only, but Hopper-v5 is a control task; "):
        resolve(algo="gspo", task="Hopper-v5")
