"""``lagbench resume``: what it goes on with, and what it refuses in a sentence."""

import json
import shutil
from pathlib import Path

import pytest

import lagbench as package
from tests.cli.run_here import SMALL, content_hash, lagbench
from tests.ends import interrupt


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of ``finished``, without its last two phases. Copy it."""
    path = tmp_path_factory.mktemp("cut") / "run"
    spec = package.resolve(algo="vaco", lag=2, actors=4, phase_steps=16, minibatch=32, budget=320, eval_episodes=1)
    interrupt(spec, path, phases=3)
    return path


@pytest.fixture
def run(begun: Path, here: Path) -> Path:
    return Path(shutil.copytree(begun, here / "run"))


def test_it_goes_on_as_if_nothing_had_been(run: Path, finished: Path) -> None:
    assert "unfinished, 3 of 5 phases; resume with: lagbench resume " in lagbench("show", run).out
    done = lagbench("resume", "run", "--log", "jsonl")
    assert (done.code, done.out) == (0, "run\n")
    lines = done.err.splitlines()
    assert lines[9].split() == ["resumed", "after", "phase", "3", "of", "5"]
    assert lines[10] == "setting up"
    assert lines[11].startswith("256 of 320 actor steps · ")
    assert content_hash(run) == content_hash(finished)
    assert (run / "policy.safetensors").read_bytes() == (finished / "policy.safetensors").read_bytes()
    first, second = json.loads((run / "environment.json").read_text())
    assert (first["phase"], second["phase"]) == (0, 3)
    assert len((run / "log.jsonl").read_text().splitlines()) == 2
    assert not (run / "checkpoint").exists()
    # And now there is nothing to go on with.
    done = lagbench("resume", "run")
    assert done.code == 2
    assert done.sentence == "Error: run is finished: there is nothing to resume; see: lagbench show run"


def test_as_json(run: Path) -> None:
    done = lagbench("resume", "run", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["status"] == "completed"
    assert done.json["result"] == json.loads((run / "result.json").read_text())


def test_by_its_name_below_runs(run: Path, here: Path) -> None:
    (here / "runs/Hopper-v5").mkdir(parents=True)
    run.rename(here / "runs/Hopper-v5/mine")
    assert lagbench("resume", "mine", "-q").out == "runs/Hopper-v5/mine\n"


def test_a_finished_run_that_lost_its_result_is_not_made_again(finished: Path, here: Path) -> None:
    """Its rows are there, on what may be another machine than the one that made them."""
    shutil.copytree(finished, here / "run")
    (here / "run/result.json").unlink()
    before = {f: f.read_bytes() for f in Path("run").rglob("*") if f.is_file()}
    done = lagbench("resume", "run")
    assert done.code == 1
    assert done.sentence == "Error: run/result.json is missing; restore it from a copy of the run"
    (here / "run/.lock").unlink()
    assert {f: f.read_bytes() for f in Path("run").rglob("*") if f.is_file()} == before


def test_an_edited_spec_is_refused(run: Path) -> None:
    file = run / "spec.json"
    spec = json.loads(file.read_text())
    file.write_text(json.dumps({**spec, "seed": 1}))
    before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}
    done = lagbench("resume", "run")
    assert done.code == 2
    assert "seed is 1, was 0" in done.sentence
    assert {f: f.read_bytes() for f in run.rglob("*") if f.is_file()} == before


def test_another_source_is_refused(here: Path) -> None:
    """Of a run that has no copy of its own, as runs had none before."""
    assert lagbench("run", "--algo", "mine.py:OutOfMemory", *SMALL, "-q", "--out", "run").code == 1
    shutil.rmtree("run/source")
    source = (here / "mine.py").read_text()
    (here / "mine.py").write_text(source.replace('raise MemoryError("too much")', "return loss"))
    before = {f: f.read_bytes() for f in Path("run").rglob("*") if f.is_file()}
    done = lagbench("resume", "run")
    assert done.code == 2
    assert "the source of mine.py:OutOfMemory has changed since this run was specified (SHA-256 " in done.sentence
    assert {f: f.read_bytes() for f in Path("run").rglob("*") if f.is_file()} == before
    (here / "mine.py").unlink()
    assert "cannot be found: there is no file 'mine.py', and there is no copy" in lagbench("resume", "run").sentence


def test_a_damaged_checkpoint(run: Path, finished: Path) -> None:
    (run / "checkpoint/state.pt").write_bytes(b"not what torch wrote")
    done = lagbench("resume", "run")
    assert done.code == 1
    assert "the checkpoint in run/checkpoint cannot be read (" in done.sentence
    # And what it says to do helps.
    assert done.sentence.endswith(" or delete that directory to start from the beginning with: lagbench resume run")
    shutil.rmtree(run / "checkpoint")
    assert lagbench("resume", "run", "-q").code == 0
    assert content_hash(run) == content_hash(finished)


@pytest.mark.parametrize(
    ("what", "code", "sentence"),
    [
        ("nothing", 2, "there is no run 'nothing', neither as a path nor below runs/; give the directory of a run"),
        ("mine.py", 2, "there is no run 'mine.py'"),
        (".", 1, "'.' is not the directory of a run: it has no spec.json"),
    ],
)
def test_what_is_no_run(here: Path, what: str, code: int, sentence: str) -> None:
    done = lagbench("resume", what)
    assert done.code == code
    assert sentence in done.sentence
