"""Whole runs on questions, with a tiny model: every baseline, both kinds of lag, records, replay, and resume."""

from __future__ import annotations

import json
import re
import shutil
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from lagbench import diagnostics, runner
from lagbench.lag.staleness import draw
from lagbench.policies import pretrained
from lagbench.policies.causal_lm import CausalLMPolicy
from lagbench.records import consistency
from lagbench.records.export import export
from lagbench.records.reader import Run, open_run
from lagbench.records.replay import replay
from lagbench.spec import RunSpec, differences, resolve
from lagbench.tasks.gsm8k import grading, task
from lagbench.training import train
from tests.cli.run_here import content_hash, lagbench
from tests.ends import Stop, interrupt
from tests.policies import engine
from tests.records.forge import Columns, change_table
from tests.tasks.gsm8k.tiny import make_data, make_model

BUDGET = 384


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("language")
    places = {"data": str(make_data(path / "data")), "model": str(make_model(path / "model"))}
    return {**places, "prompt": "plain", "max_new_tokens": 8}


def make_spec(places: dict[str, Any], **options: Any) -> RunSpec:
    given = {"algo": "vaco", "task": "GSM8k-v0", "task_options": places, "eval_episodes": 4, "eval_intervals": 2}
    return resolve(**{**given, "budget": BUDGET, "updates": 2, **options})


@pytest.fixture(scope="module")
def finished(places: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six phases at lag 3. Not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    runner.execute(make_spec(places, lag=3), path)
    return path


def test_the_model_that_it_trained_is_one_of_transformers(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its greedy answers are those of the last evaluation; lagbench takes it, and it samples alike."""
    from transformers import GenerationConfig

    done = lagbench("export", finished, "--to", "huggingface", "-o", tmp_path / "model")
    assert (done.code, done.out) == (0, f"{tmp_path / 'model'}\n")
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parents[1] / "docs/export.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(from transformers .*?)^```", text, re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {}
    exec(compile(block, "docs/export.md", "exec"), scope)
    model, tokenizer = scope["model"].eval(), scope["tokenizer"]
    assert done.err == f"exported: {sum(p.numel() for p in model.parameters()):,} weights\n"
    run = open_run(finished)
    played = run.evaluations.to_table(filter=pc.field("mode") == "mode").to_pylist()[-4:]
    for row in played:
        given = torch.tensor([row["prompt"]])
        answer = model.generate(given, attention_mask=given >= 0, do_sample=False, max_new_tokens=8)[
            0, given.shape[1] :
        ]
        assert answer.tolist() == row["token"]
        assert tokenizer.decode(answer, skip_special_tokens=True).startswith(row["completion"])
    config = GenerationConfig.from_pretrained(tmp_path / "model")
    assert (config.do_sample, config.temperature, config.top_k, config.top_p) == (True, 1.0, 0, 1.0)
    assert config.max_new_tokens == 8
    found, before = pretrained.find(str(tmp_path / "model")), pretrained.find(run.spec.task_options["model"])
    assert (found.ends, found.tokens(["7 + 5"])) == (before.ends, before.tokens(["7 + 5"]))


@pytest.mark.parametrize(("sampler", "most"), [({"sampler_precision": "bfloat16"}, 1.0), ({"sampler": "vllm"}, 1e-4)])
def test_what_another_sampler_says_is_recorded_and_told_apart_from_lag(
    sampler: dict[str, str], most: float, places: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In half precision its log-probabilities are others than the learner's; the stand-in for vLLM has the same."""
    monkeypatch.setitem(sys.modules, "vllm", engine)
    monkeypatch.setattr(engine.LLM, "made", [])
    inflight = {"lag_mode": "queue", "lag_options": {"learner": 0.5, "inflight": True}}
    spec = make_spec({**places, **sampler}, **inflight, budget=128, eval_episodes=2, eval_intervals=1)
    run = runner.execute(spec, tmp_path / "run")
    rows = run.phases.to_table().to_pylist()
    for row in rows:
        assert 0 < row["sampler_mismatch_max"] < most
    half = "sampler_precision" in sampler
    assert (min(row["sampler_mismatch_max"] for row in rows) > 1e-3) == half
    assert replay(run).passed
    entry = json.loads((run.path / "environment.json").read_text())[0]
    assert ("vllm" in entry["packages"]) != half
    # One engine, given each version that acts, whenever it is not the one it has.
    assert [llm.loads >= 2 for llm in engine.LLM.made] == [True] * (not half)


# A ratio of whole completions, minibatches of sequences, a policy more, a state: `check` has every baseline.
@pytest.mark.parametrize("algo", ["gspo", "impala", "ppo-ewma", "ppo-kl"])
def test_one_baseline_of_each_kind_runs(places: dict[str, Any], tmp_path: Path, algo: str) -> None:
    run = runner.execute(make_spec(places, algo=algo, lag=2, budget=192), tmp_path / "run")
    assert run.status == "completed"
    rows = run.phases.to_table().to_pylist()
    assert len(rows) == 3
    for row in rows:
        assert row["updates"] == 2
        assert dict(row["metrics"])["gradient_norm"] >= 0
        for name in diagnostics.names(run.spec.domain):
            assert row[name] is not None, name
    assert {mode: final["episodes"] for mode, final in run.summary["final"].items()} == {"stochastic": 4, "mode": 4}


@pytest.mark.parametrize(
    ("options", "phases", "samples", "updates"),
    [
        ({"updates": 4}, 3, 128, 4),
        ({"forward": "reuse", "actors": 8, "phase_steps": 16, "updates": 8}, 3, 128, 8),
    ],
)
def test_forward_lag(
    places: dict[str, Any], tmp_path: Path, options: dict[str, Any], phases: int, samples: int, updates: int
) -> None:
    run = runner.execute(make_spec(places, **options), tmp_path / "run")
    table = run.phases.to_table().to_pylist()
    assert [row["updates"] for row in table] == [updates] * phases
    assert run.spec.protocol.samples == samples
    assert [row["backward_lag_max"] for row in table] == [0.0] * phases
    # Measured, not mended: sampler and learner differ by rounding.
    assert all(0 <= row["logprob_mismatch_max"] < 1e-3 for row in table)
    assert any(row["logprob_mismatch_max"] > 0 for row in table)


def test_backward_lag_is_by_group(finished: Path) -> None:
    run = open_run(finished)
    rows = run.trajectories.to_table().to_pylist()
    assert len(rows) == BUDGET
    groups: dict[int, set[int]] = {}
    for row in rows:
        held = draw(run.spec.protocol, run.spec.seed, row["phase"])[row["actor"]]
        assert set(row["behaviour_version"]) == {held}
        assert 0 <= row["learner_version"] - held <= 3
        groups.setdefault(row["group"], set()).add(held)
        assert len(row["token"]) == len(row["behaviour_log_prob"]) == len(row["behaviour_version"]) <= 8
    assert all(len(versions) == 1 for versions in groups.values())
    assert len(groups) == BUDGET // 8
    lag = run.phases.to_table()["backward_lag_mean"].to_pylist()
    assert lag[0] == 0 < max(lag)


@pytest.fixture(scope="module")
def in_flight(places: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """As ``finished``, with versions that change inside completions. Not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "in-flight"
    spec = make_spec(places, lag_mode="queue:areal-4", lag_options={"inflight": True})
    return runner.execute(spec, path)


def test_in_flight_each_token_is_of_its_version(in_flight: Run) -> None:
    """Each with its own weights, from another training of the same specification, one completion at a time."""
    results = train(in_flight.spec)
    policy = in_flight.spec.network()
    assert isinstance(policy, CausalLMPolicy)
    versions = [in_flight.spec.network(torch.Generator()).version(0).state]
    versions += [result.policy.version(k + 1).state for k, result in enumerate(results)]
    apart, spans, lag = [], [], [list[int]() for _ in range(6)]
    for row in in_flight.training_episodes():
        spans.append(len(set(row.behaviour_version.tolist())))
        lag[row.phase] += (row.phase - row.behaviour_version).tolist()
        tokens = torch.tensor([[*row.prompt, *row.token]])
        for number in set(row.behaviour_version.tolist()):
            policy.model.load_state_dict(versions[number])
            with torch.no_grad():
                log_p = policy.logits(tokens, tokens >= 0)[0, len(row.prompt) - 1 : -1].log_softmax(-1)
            found = log_p.gather(1, tokens[0, len(row.prompt) :].unsqueeze(1)).squeeze(1).numpy()
            own = row.behaviour_version == number
            apart.append(np.abs(found - row.behaviour_log_prob)[own].max())
    assert max(apart) < 1e-4
    assert {1, 2} <= set(spans)
    rows = in_flight.phases.to_table().to_pylist()
    assert [row["backward_lag_mean"] for row in rows] == pytest.approx([np.mean(x) for x in lag])
    assert [row["backward_lag_max"] for row in rows] == [max(x) for x in lag]


def test_in_flight_runs_replay_and_resume(in_flight: Run, tmp_path: Path) -> None:
    assert replay(in_flight, training=True).passed
    interrupt(in_flight.spec, tmp_path / "run", 3)
    runner.resume(tmp_path / "run")
    assert content_hash(tmp_path / "run") == content_hash(in_flight.path)

    def change(columns: Columns) -> None:
        held = columns["behaviour_version"]
        row = next(i for i, v in enumerate(held) if len(set(v)) > 1)
        held[row] = [held[row][0]] * len(held[row])  # as if the version had not changed

    change_table(tmp_path / "run", "trajectories", change)
    (found,) = [c.difference for c in replay(open_run(tmp_path / "run")).checks if c.name == "behaviour versions"]
    assert found is not None
    assert re.fullmatch(r"behaviour_version\[[1-7]\]", found.column)
    done = lagbench("lag", f"trace:{in_flight.path}")
    assert (done.code, "change inside completions, and a trace has one per phase and actor" in done.sentence) == (
        2,
        True,
    )


def test_versions_do_not_change_inside_the_episodes_of_control() -> None:
    done = lagbench("run", "--lag-mode", "queue:areal-4", "--lag-set", "inflight=true")
    assert (done.code, done.sentence) == (
        2,
        "Error: the lag mode queue changes versions inside an episode, which control does not support; give "
        "--lag-set inflight=false, or another mode",
    )


def test_a_run_in_half_precision_replays(places: dict[str, Any], tmp_path: Path) -> None:
    """One completion at a time, replay computes other logits than the run did together; by how much is the format's."""
    model = make_model(tmp_path / "model", hidden_size=128, intermediate_size=256, num_hidden_layers=4)
    options = {**places, "model": str(model), "precision": "bfloat16", "max_new_tokens": 48}
    spec = make_spec(options, eval_episodes=6, eval_intervals=1, budget=64)
    run = runner.execute(spec, tmp_path / "run")
    report = replay(run)
    assert report.passed, report
    assert report.tolerance["logit"] == 1.0
    assert report.action_difference is not None
    assert report.action_difference > 1e-2


def test_a_run_replays(finished: Path) -> None:
    report = replay(open_run(finished), training=True)
    assert [(check.name, check.outcome) for check in report.checks] == [
        ("content hash", "ok"),
        ("evaluation plan", "ok"),
        ("staleness draws", "ok"),
        ("behaviour versions", "ok"),
        ("episode sums", "ok"),
        ("evaluation grades", "ok"),
        ("policy", "ok"),
        ("training grades", "ok"),
    ]
    assert (report.episodes, report.training_episodes) == (24, BUDGET)
    final = [e for e in open_run(finished).evaluation_episodes() if e.version == 6]
    assert {e.mode for e in final} == {"mode", "stochastic"}
    assert report.actions == sum(e.length for e in final)
    assert report.action_difference is not None
    assert report.action_difference < 1e-3


FORGERIES: dict[str, tuple[str, str, Any, str]] = {
    "completion": ("evaluations", "completion", "#### 5", "strict"),
    "target": ("evaluations", "target", None, "return"),
    "strict": ("evaluations", "strict", "77", "strict"),
    "return": ("evaluations", "return", 0.5, "return"),
    "trained": ("trajectories", "strict", "77", "strict"),
    "reward": ("trajectories", "reward", 0.5, "return"),
    "length": ("episodes", "length", 77, "length"),
    "version": ("trajectories", "behaviour_version", [99] * 8, "behaviour_version[0]"),
    "learner": ("trajectories", "learner_version", 5, "learner_version"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_record_is_found(finished: Path, tmp_path: Path, name: str) -> None:
    table, column, value, found = FORGERIES[name]
    shutil.copytree(finished, tmp_path / "run")

    def change(columns: Columns) -> None:
        old = columns[column][3]
        columns[column][3] = value[: len(old)] if isinstance(value, list) else value
        if name == "target":
            # What the completion says: now it would have earned a reward.
            columns[column][3] = columns["target"][3]
            columns["completion"][3] = f"#### {columns['target'][3]}"
            columns["strict"][3] = columns["flexible"][3] = columns["target"][3]
            columns["correct_flexible"][3] = True

    change_table(tmp_path / "run", table, change)
    report = replay(open_run(tmp_path / "run"), training=True)
    assert not report.passed
    differences = [c.difference for c in report.checks if c.difference is not None and c.name != "content hash"]
    # A reward is summed up in episodes, and found wrong there first.
    assert (differences[0].table, differences[0].column) == ("episodes" if name == "reward" else table, found)


@pytest.mark.parametrize("mode", ["mode", "stochastic"])
def test_an_answer_that_is_not_the_policys_is_found(finished: Path, tmp_path: Path, mode: str) -> None:
    """Its text and grade are right for its tokens, of which one is another."""
    shutil.copytree(finished, tmp_path / "run")
    run = open_run(finished)
    model = pretrained.find(run.spec.task_options["model"])

    def change(columns: Columns) -> None:
        places = zip(columns["version"], columns["mode"], columns["token"], strict=True)
        i = next(
            i for i, (version, how, tokens) in enumerate(places) if (version, how) == (6, mode) and len(tokens) > 2
        )
        tokens = [*columns["token"][i]]
        tokens[1] = next(t for t in range(tokens[1] + 1, 99) if t not in model.ends)
        columns["token"][i], columns["completion"][i] = tokens, model.text(tokens)
        given = grading.grade(columns["completion"][i], columns["target"][i])
        columns["strict"][i], columns["flexible"][i] = given.strict, given.flexible
        columns["return"][i], columns["correct_flexible"][i] = float(given.correct), given.correct_flexible

    change_table(tmp_path / "run", "evaluations", change)
    report = replay(open_run(tmp_path / "run"))
    (found,) = [check for check in report.checks if check.name == "policy"]
    assert found.difference is not None, found
    assert (found.difference.column, found.difference.by) == ("token[1]", "by the policy file")
    assert ("sampled" if mode == "stochastic" else "deterministic") in str(found.difference)


def test_grading_again_takes_the_record_alone(finished: Path, tmp_path: Path, places: dict[str, Any]) -> None:
    """Neither questions nor model are there any more: only the policy check is left out, and says why."""
    shutil.copytree(finished, tmp_path / "run")
    moved = [Path(places[name]) for name in ("data", "model")]
    for path in moved:
        path.rename(path.with_suffix(".gone"))
    try:
        done = lagbench("replay", tmp_path / "run")
        assert done.code == 0
        lines = done.out.splitlines()
        assert lines[5].startswith("ok    evaluation grades   24 completions graded again")
        assert lines[6].startswith("skip  policy              there is no model ")
    finally:
        for path in moved:
            path.with_suffix(".gone").rename(path)


def test_an_interrupted_run_goes_on_exactly(finished: Path, places: dict[str, Any], tmp_path: Path) -> None:
    interrupt(make_spec(places, lag=3), tmp_path / "run", 2)
    assert [e.phase for e in open_run(tmp_path / "run").training_episodes()] == [0] * 64 + [1] * 64
    with pytest.raises(runner.Interrupted):
        runner.resume(tmp_path / "run", sinks=[Stop(2)])
    runner.resume(tmp_path / "run")
    assert content_hash(tmp_path / "run") == content_hash(finished)


def test_slim_and_parquet(finished: Path, tmp_path: Path) -> None:
    run = open_run(finished)
    export(run, "parquet", tmp_path / "parquet")
    assert len(list((tmp_path / "parquet").iterdir())) == 4
    export(run, "slim", tmp_path / "slim")
    slim = open_run(tmp_path / "slim", verify=True)
    assert slim.curve() == run.curve()
    assert [e.completion for e in slim.evaluation_episodes()] == [e.completion for e in run.evaluation_episodes()]


def test_show(finished: Path) -> None:
    done = lagbench("show", finished)
    assert done.code == 0
    assert "384 completions: 6 phases of 8 actors × 8 completions" in done.out
    assert "final evaluation  0.0% ± 0.0% over 4 episodes of sampled answers" in done.out
    facts = lagbench("show", finished, "--json").json
    assert facts["spec"]["task_options"]["max_new_tokens"] == 8
    assert len(facts["spec"]["task_options"]["model_sha256"]) == 64


def test_a_filter_that_never_fired_is_told(places: dict[str, Any], tmp_path: Path) -> None:
    runner.execute(make_spec(places, config={"delta": 1e9}, budget=64), tmp_path / "run")
    assert "filter            never active" in lagbench("show", tmp_path / "run").out


def test_episodes_alone(places: dict[str, Any], tmp_path: Path) -> None:
    run = runner.execute(make_spec(places, record="episodes", budget=64), tmp_path / "run")
    assert run.episodes.count_rows() == 64
    report = replay(run)
    assert report.passed
    assert {c.name for c in report.checks if c.outcome == "skipped"} == {"behaviour versions", "episode sums"}


def test_uniform_groups_are_sampled_again(tmp_path: Path) -> None:
    """On Mini: phases take more than 16 completions, the budget ends the run, and an interruption changes nothing."""
    spec = resolve(
        task="GSM8kMini-v0",
        task_options={"resample_uniform_groups": True, "group_size": 4},
        updates=1,
        minibatch=16,
        lag=2,
        budget=71,
        eval_episodes=1,
        eval_intervals=2,
    )
    run = runner.execute(spec, tmp_path / "run")
    used = run.phases.to_table()["budget_used"].to_pylist()
    phases = run.episodes.to_table()["phase"].to_pylist()
    assert used == [sum(p <= phase for p in phases) for phase in range(len(used))]
    assert len(used) < spec.phases == 4
    assert 64 - 16 < used[-1] <= 64
    points = run.curve()
    assert [p.fraction for p in points] == [0.0, 0.5, 1.0]
    assert [p.budget_used for p in points] == [0, next(u for u in used if u >= 32), used[-1]]
    assert replay(run, training=True).passed
    assert lagbench("show", tmp_path / "run").code == 0
    interrupt(spec, tmp_path / "again", 2)
    runner.resume(tmp_path / "again")
    assert content_hash(tmp_path / "again") == content_hash(tmp_path / "run")

    def change(columns: Columns) -> None:
        columns["budget_used"][1] += 4

    change_table(tmp_path / "again", "phases", change)
    found = consistency.wrong_draw(open_run(tmp_path / "again"))
    assert found is not None
    assert (found.table, found.column, found.expected) == ("phases", "budget_used", used[1])


PATIENT = """
from lagbench.baselines.ppo import PPO

class Patient(PPO):
    def update(self, phase):
        if phase.rollout.behaviour_version.unique().numel() == 1:
            super().update(phase)
"""


def test_phases_without_an_update_are_recorded(places: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "patient.py").write_text(PATIENT)
    spec = make_spec(places, algo=f"{tmp_path / 'patient.py'}:Patient", lag=3, budget=192)
    run = runner.execute(spec, tmp_path / "run")
    rows = run.phases.to_table().to_pylist()
    assert [row["updates"] for row in rows] == [2 if len(set(row["versions"])) == 1 else 0 for row in rows]
    assert {row["updates"] for row in rows} == {0, 2}
    assert [bool(row["metrics"]) for row in rows] == [row["updates"] > 0 for row in rows]
    assert replay(run).passed
    assert lagbench("show", tmp_path / "run").code == 0
    assert lagbench("report", tmp_path / "run", "-o", tmp_path / "report").code == 0


@pytest.mark.parametrize(("kind", "damage"), [("bert", b""), ("llama", b"x")])
def test_a_model_that_cannot_be_run_is_told_before_anything_is_written(
    places: dict[str, Any], tmp_path: Path, kind: str, damage: bytes
) -> None:
    """Of a kind that looks at later tokens, or with weights that cannot be read."""
    model = make_model(tmp_path / "model", kind=kind)
    if damage:
        (model / "model.safetensors").write_bytes(damage)
    options = [f"--task-set={k}={v}" for k, v in {**places, "model": model}.items()]
    done = lagbench("run", "--task", "GSM8k-v0", *options, "--eval-episodes", "4", "--out", tmp_path / "run")
    assert done.code == 2
    assert ("the weights of" if damage else "runs are not possible with") in done.sentence
    assert not (tmp_path / "run").exists()


def test_a_model_without_heads(places: dict[str, Any], tmp_path: Path) -> None:
    options = {**places, "model": str(make_model(tmp_path / "model", kind="mamba"))}
    run = runner.execute(make_spec(options, lag=1, budget=192, eval_intervals=1), tmp_path / "run")
    assert run.status == "completed"
    assert max(run.phases.to_table()["logprob_mismatch_max"].to_pylist()) < 1e-3
    assert replay(run).passed


def test_one_specification_on_two_days(places: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model whose chat template says the date."""

    def on(day: int) -> None:
        monkeypatch.setattr(task, "_today", lambda: date(2026, 3, day))

    chat = "{{ strftime_now('%d %b %Y') }}{{ messages[0].content }}"
    model = str(make_model(tmp_path / "model", chat=chat, context=512))
    options, sizes = {**places, "model": model, "prompt": "chat"}, {"budget": 64, "eval_intervals": 1}
    on(4)
    spec = make_spec(options, **sizes)
    assert spec.task_options["date"] == "2026-03-04"
    first = runner.execute(spec, tmp_path / "first")
    asked = next(first.evaluation_episodes()).prompt
    assert pretrained.find(model).text(asked).startswith("04 Mar 2026Ann has")
    on(5)
    assert replay(first, training=True).passed
    runner.execute(RunSpec.load(tmp_path / "first" / "spec.json"), tmp_path / "second")
    assert content_hash(tmp_path / "second") == content_hash(tmp_path / "first")
    other = make_spec(options, **sizes)
    assert differences(other.to_json(), spec.to_json()) == ['task_options.date is "2026-03-05", was "2026-03-04"']


def test_what_is_said_where_a_run_begins(places: dict[str, Any], tmp_path: Path) -> None:
    options = [f"--task-set={k}={v}" for k, v in places.items()]
    sizes = ("--budget", "32", "--eval-episodes", "1", "--eval-intervals", "1")
    done = lagbench("run", "--task", "GSM8k-v0", *options, *sizes, "--out", tmp_path / "run")
    assert done.code == 0
    assert re.search(r"^ends at +<\|end\|>$", done.err, re.MULTILINE)


def test_mini_with_a_model_of_ones_own(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model", context=1024)
    done = lagbench(
        *(
            "run",
            "--task",
            "GSM8kMini-v0",
            "--algo",
            "ppo",
            "--updates",
            "2",
            "--budget",
            "128",
            "--eval-episodes",
            "8",
        ),
        *("--task-set", f"model={model}", "--task-set", "max_new_tokens=8", "--task-set", "test=test-unseen", "-q"),
        *("--out", tmp_path / "run"),
    )
    assert (done.code, done.err) == (0, "")
    run = open_run(tmp_path / "run")
    assert run.spec.task_options["data"] == "mini"
    assert "data_sha256" not in run.spec.task_options
    assert run.evaluations.count_rows() == (8 + 8) * len(run.spec.evaluation_phases())
