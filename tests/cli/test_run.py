"""``lagbench run``: what it prints and writes, what it refuses, and how it ends."""

import json
from pathlib import Path

import pytest

import lagbench as package
from tests.cli.run_here import SMALL, content_hash, lagbench


def test_progress_on_stderr_and_the_directory_on_stdout(here: Path) -> None:
    done = lagbench("run", "--algo", "vaco", "--lag", "3", *SMALL)
    path = "runs/Hopper-v5/vaco/lag3-u20-seed0-0"
    assert (done.code, done.out) == (0, f"{path}\n")
    lines = done.err.splitlines()
    heading = [line.split()[0] for line in lines[:9]]
    assert heading == ["algorithm", "task", "lag", "updates", "budget", "evaluation", "seed", "config", "records"]
    assert lines[9] == "setting up, first evaluation and collection"
    assert lines[10].startswith("64 of 320 actor steps · ")
    for name in ("/s · ", " left · ", "evaluation ", "backward lag ", "TV ", "filtered "):
        assert name in lines[10]
    assert lines[14].startswith("320 of 320 actor steps · ")
    assert [line.split("  ")[0] for line in lines[15:]] == [
        "status",
        "final evaluation",
        "not scored",
        "time",
        "records",
    ]
    # Each gets a directory of its own; quiet, nothing but the result.
    again = lagbench("run", "--algo", "vaco", "--lag", "3", *SMALL, "-q")
    assert (again.out, again.err) == (f"{path[:-1]}1\n", "")
    assert content_hash(here / path) == content_hash(here / again.out.strip())
    assert package.open(path).status == "completed"


def test_json_is_all_that_is_on_stdout(here: Path) -> None:
    done = lagbench("run", "--algo", "mine.py:Chatty", *SMALL, "--json", "--out", "run")
    assert done.code == 0
    assert done.json["path"] == "run"
    assert done.json["status"] == "completed"
    assert done.json["spec"] == json.loads(Path("run/spec.json").read_text())
    assert done.json["result"] == json.loads(Path("run/result.json").read_text())
    # What the algorithm prints is none of the result.
    assert set(done.err.splitlines()) == {"a debugging print"}


def test_every_option_reaches_the_spec(here: Path) -> None:
    options = {
        "--algo": "vaco",
        "--task": "InvertedPendulum-v5",
        "--lag": "3",
        "--lag-mode": "fixed",
        "--updates": "4",
        "--forward": "split",
        "--minibatch": "32",
        "--actors": "4",
        "--hidden": "32,16,8",
        "--budget": "0.5k",
        "--seed": "7",
        "--eval-episodes": "2",
        "--record": "episodes",
        "--device": "cpu",
        "--threads": "1",
        "--torch-threads": "2",
        "--out": "run",
    }
    repeated = ("--set", "delta=0.05", "--set", "filter=no", "--task-set", "max_episode_steps=50", "--log", "jsonl")
    done = lagbench("run", *(x for pair in options.items() for x in pair), *repeated, "-q")
    assert (done.code, done.err) == (0, "")
    spec = json.loads(Path("run/spec.json").read_text())
    assert spec["algorithm"]["name"] == "vaco"
    assert spec["task"] == "InvertedPendulum-v5"
    assert spec["task_options"] == {"max_episode_steps": 50}
    assert spec["protocol"] == {
        "lag": 3,
        "lag_mode": "fixed",
        "updates": 4,
        "updates_fixed": True,
        "forward": "split",
        "minibatch": 32,
        "actors": 4,
        "phase_steps": 32,
        "hidden": [32, 16, 8],
    }
    shapes = {name: tuple(x.shape) for name, x in package.open("run").policy().state_dict().items()}
    assert [shapes[f"critic.{i}.weight"] for i in (0, 2, 4, 6)] == [(32, 4), (16, 32), (8, 16), (1, 8)]
    assert "hidden layers of 32 × 16 × 8 units" in lagbench("show", "run").out
    assert (spec["budget"], spec["seed"], spec["record"], spec["device"]) == (500, 7, "episodes", "cpu")
    assert (spec["evaluation"]["episodes"], spec["torch_threads"]) == (2, 2)
    assert (spec["config"]["delta"], spec["config"]["filter"]) == (0.05, False)
    assert json.loads(Path("run/environment.json").read_text())[0]["envpool_threads"] == 1
    assert len(Path("run/log.jsonl").read_text().splitlines()) == 3
    assert not Path("run/trajectories").exists()


def test_a_published_spec_gives_the_same_rows(finished: Path, here: Path) -> None:
    """With other threads, too."""
    done = lagbench("run", "--spec", finished / "spec.json", "--out", "again", "--threads", "2", "-q")
    assert (done.code, done.out) == (0, "again\n")
    assert Path("again/spec.json").read_text() == (finished / "spec.json").read_text()
    assert content_hash(Path("again")) == content_hash(finished)


def test_from_python_it_is_the_same(finished: Path, here: Path) -> None:
    run = package.run(
        algo="vaco", lag=2, actors=4, phase_steps=16, minibatch=32, budget=320, eval_episodes=1, threads=1, out="run"
    )
    assert run.path == Path("run")
    assert run.result is not None
    assert run.result["content_hash"] == content_hash(finished)
    assert package.open("run").trajectories.count_rows() == run.trajectories.count_rows()


REFUSED = [
    ("--task Hoper-v5", "unknown task 'Hoper-v5'; did you mean 'Hopper-v5'? Known: Ant-v4, "),
    ("--algo vacco", "unknown algorithm 'vacco'; did you mean 'vaco'? Known: cispo, "),
    ("--lag-mode unifrom", "unknown lag mode 'unifrom'; did you mean 'uniform'? Known: asynchronous, "),
    ("--forward spilt", "unknown value 'spilt'; did you mean 'split'? Known: reuse, split."),
    ("--log tensorbord", "did you mean 'tensorboard'? Known: console, jsonl, tensorboard, trackio, wandb."),
    ("--device gpu", "unknown device 'gpu'; did you mean 'cpu'? Known: cpu, cuda."),
    ("--device meta", "unknown device 'meta'."),
    ("--set detla=0.1 --algo vaco", "unknown hyperparameter 'detla'; did you mean 'delta'? Known: align, "),
    ("--set reference=behavior --algo vaco", "unknown reference value 'behavior'; did you mean 'behaviour'?"),
    ("--set delta", "Invalid value for '--set': 'delta' is not of the form name=value"),
    ("--set learning_rate=-inf", "learning_rate must be in [0, inf), not -inf"),
    ("--task-set max_episode_step=3", "unknown task option 'max_episode_step'; did you mean 'max_episode_steps'?"),
    ("--task-set max_episode_steps=abc", "'max_episode_steps'"),
    ("--lag -1", "lag must be in [0, 2147483647], not -1"),
    ("--lag 1.5", "Invalid value for '--lag': '1.5' is not a whole number (1M, 1e6 and 1_000_000 are)"),
    ("--updates 83", "83 updates are not possible: in reuse mode a phase makes whole epochs of 8 minibatches"),
    ("--minibatch 300", "the nearest that can are 256 and 512"),
    ("--forward split --minibatch 100", "which 32 actors cannot divide evenly"),
    ("--budget 1k", "is less than one phase, which needs 2048 (32 actors × 64 steps); give at least --budget 2048"),
    ("--seed 9223372036854775808", "seed must be in [0, 9223372036854775807], not 9223372036854775808"),
    ("--eval-intervals 1e9", "eval_intervals must be in [1, 10000], not 1000000000"),
    ("--threads -1", "'--threads'"),
    ("--algo yours.py:Mine", "there is no file 'yours.py'; name your own algorithm as path/to/file.py:Class"),
    ("--algo mine.py", "'mine.py' needs the name of its class: mine.py:Mine"),
    ("--algo mine.py:Mime", "unknown class in mine.py 'Mime'; did you mean 'Mine'? Known: Chatty, "),
    ("--algo mine.py:Lossless", "mine.py:Lossless has no `loss`; write loss(self, batch) -> (scalar, metrics)"),
    ("--algo mine.py:Stranger", "is not an algorithm: its class must be a subclass of lagbench.Algorithm"),
    ("--algo layers.py:Mine", "'layers.py' cannot be imported: Config.layers has type list; use bool, int, "),
    ("--algo broken.py:Mine", "'broken.py' cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
    ("--spec nothing.json", "there is no file 'nothing.json'"),
    ("--spec .", "'.' cannot be read: Is a directory"),
    ("--spec mine.py", "'mine.py' is not JSON: "),
    ("--spec newer.json", "the specification has format 99; this lagbench reads up to 2: install a newer one"),
    ("--spec nothing.json --lag-mode fixed", "that determine results; --lag-mode cannot be combined with it"),
    ("--spec nothing.json --set a=3", "that determine results; --set cannot be combined with it"),
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSED, ids=[f"{a}: {s[:20]}" for a, s in REFUSED])
def test_what_cannot_be_run_costs_a_sentence_and_leaves_nothing(here: Path, arguments: str, sentence: str) -> None:
    (here / "broken.py").write_text("import no_such_module\n")
    (here / "layers.py").write_text(
        "from lagbench import Algorithm\nclass Mine(Algorithm):\n"
        "    class Config(Algorithm.Config):\n        layers: list = [64]\n"
    )
    (here / "newer.json").write_text('{"format_version": 99}')
    before = sorted(here.iterdir())
    done = lagbench("run", *arguments.split())
    assert done.code == 2
    assert sentence in done.sentence
    assert sorted(here.iterdir()) == before


@pytest.mark.skipif("__import__('torch').cuda.is_available()")
def test_cuda_where_there_is_none(finished: Path, here: Path) -> None:
    """Also in a spec from elsewhere, before anything is written."""
    sentence = "Error: --device cuda: no CUDA device can be used here; use --device cpu"
    assert lagbench("run", "--device", "cuda").sentence == sentence
    spec = json.loads((finished / "spec.json").read_text())
    (here / "spec.json").write_text(json.dumps({**spec, "device": "cuda"}))
    done = lagbench("run", "--spec", "spec.json", "--out", "run")
    assert (done.code, done.sentence) == (2, sentence)
    assert not Path("run").exists()


def test_a_spec_of_another_source_is_refused_before_anything_is_written(here: Path) -> None:
    spec = package.resolve(algo="mine.py:Mine", actors=4, phase_steps=16, minibatch=32, budget=320)
    (here / "spec.json").write_text(json.dumps(spec.to_json()))
    (here / "mine.py").write_text((here / "mine.py").read_text() + "# changed\n")
    done = lagbench("run", "--spec", "spec.json", "--out", "run")
    assert done.code == 2
    assert "the source of mine.py:Mine has changed since this run was specified" in done.sentence
    assert not Path("run").exists()


def test_a_directory_that_holds_a_run_is_refused_and_left_alone(finished: Path) -> None:
    before = {f: f.read_bytes() for f in finished.rglob("*") if f.is_file()}
    done = lagbench("run", *SMALL, "--out", finished)
    assert done.code == 2
    assert done.sentence == f"Error: {finished} already contains a run (spec.json); give another directory with --out"
    assert {f: f.read_bytes() for f in finished.rglob("*") if f.is_file()} == before


def test_a_directory_that_cannot_be_made(here: Path) -> None:
    done = lagbench("run", *SMALL, "--out", "mine.py")
    assert (done.code, done.sentence.startswith("Error: cannot write mine.py (")) == (1, True)
    (here / "runs").write_text("no directory")
    done = lagbench("run", *SMALL)
    assert done.code == 1
    assert done.sentence.startswith("Error: cannot make runs/Hopper-v5/ppo/lag0-u20-seed0-0 (")
    assert done.sentence.endswith("; run in another directory, or name one with --out")


@pytest.mark.parametrize("quiet", [(), ("-q",), ("--json",)])
def test_a_run_that_diverges_says_where_and_keeps_its_records(here: Path, quiet: tuple[str, ...]) -> None:
    done = lagbench("run", "--algo", "mine.py:Nan", *SMALL, "--out", "run", *quiet)
    assert done.code == 3
    (sentence,) = (line for line in done.err.splitlines() if line.startswith("diverged"))
    assert sentence.startswith("diverged in phase 2, update 5: the loss is not finite; last logged, in phase 2: ")
    for name in ("size ", "loss ", "gradient_norm "):
        assert name in sentence.partition("last logged")[2]
    if quiet:
        assert done.err == sentence + "\n"
    if quiet == ("--json",):
        assert done.json["status"] == "diverged"
    else:
        assert done.out == "run\n"
    run = package.open("run")
    assert run.status == "diverged"
    at = run.summary["diverged"]
    assert (at["phase"], at["update"], at["what"], at["last_logged"]["phase"]) == (2, 5, "the loss", 2)
    assert run.phases.count_rows() == run.summary["phases"] == 3
    assert run.trajectories.count_rows() > 100
    assert run.policy() is not None
    assert not Path("run/checkpoint").exists()
    shown = lagbench("show", "run")
    assert (shown.code, shown.err) == (0, "")
    assert sentence in shown.out
    assert lagbench("resume", "run").code == 2


def test_a_phase_that_diverges_before_it_logs_tells_what_the_one_before_logged(here: Path) -> None:
    done = lagbench("run", "--algo", "mine.py:NanAtOnce", *SMALL, "--out", "run", "-q")
    assert done.code == 3
    assert done.err.startswith("diverged in phase 2, update 0: the loss is not finite; last logged, in phase 1: ")


def test_an_algorithm_that_raises_is_shown_with_its_traceback_and_recorded(here: Path) -> None:
    done = lagbench("run", "--algo", "mine.py:Mistaken", *SMALL, "--out", "run", "-q")
    assert (done.code, done.out) == (1, "")
    lines = done.err.splitlines()
    number = 1 + (here / "mine.py").read_text().splitlines().index("        return batch.avantage")
    assert lines[0].startswith("Traceback")
    assert f'  File "mine.py", line {number}, in happen' in lines
    assert "click" not in done.err
    assert lines[-2] == "AttributeError: a rollout has no field 'avantage'"
    assert lines[-1] == f"in phase 2, at mine.py:{number}; run is recorded as failed"
    run = package.open("run")
    assert run.status == "failed"
    assert run.summary["reason"] == f"AttributeError: a rollout has no field 'avantage' (mine.py:{number})"
    assert run.phases.count_rows() == run.summary["phases"] == 2
    assert run.policy() is not None
    assert not Path("run/checkpoint").exists()
    assert "failed: AttributeError" in lagbench("show", "run").out
    assert lagbench("resume", "run").code == 2


def test_an_algorithm_that_breaks_its_contract_costs_a_sentence_with_the_line(here: Path) -> None:
    done = lagbench("run", "--algo", "mine.py:Forgetful", *SMALL, "--out", "run", "-q")
    assert done.code == 2
    assert "rollout.x must have shape " in done.sentence
    assert "; in phase 2, at mine.py:" in done.sentence
    assert package.open("run").status == "failed"


def test_a_run_out_of_memory_can_be_resumed(here: Path) -> None:
    """Nothing is wrong with it: on a larger machine, or a quieter one, it goes on."""
    done = lagbench("run", "--algo", "mine.py:OutOfMemory", *SMALL, "--out", "run", "-q")
    assert done.code == 1
    assert done.err.splitlines()[-2:] == [
        "MemoryError: too much",
        "after 2 of 5 phases, which are kept; resume with: lagbench resume run",
    ]
    run = package.open("run")
    assert run.status == "unfinished"
    assert run.phases.count_rows() == 2
    assert "unfinished, 2 of 5 phases; resume with: lagbench resume run\n" in lagbench("show", "run").out


def test_a_cell_of_a_suite(here: Path) -> None:
    cell = ("--suite", "TESTING", "--task", "Hopper-v5", "--lag", "2", "--seed", "1")
    assert lagbench("run", *cell, "--algo", "vaco", "-q", "-o", "cell").code == 0
    spec = json.loads((here / "cell" / "spec.json").read_text())
    assert (spec["suite"]["name"], spec["protocol"]["lag"], spec["budget"], spec["seed"]) == ("TESTING", 2, 2048, 1)
    assert lagbench("run", *cell, "--budget", "4k").sentence == "Error: budget is 2048 in TESTING and cannot be 4000"
    refused = lagbench("run", "--suite", "TESTING", "--task", "Hopper-v5", "--lag", "1")
    assert (refused.code, refused.sentence) == (2, "Error: TESTING has no lag 1; choose one of: 0, 2")
