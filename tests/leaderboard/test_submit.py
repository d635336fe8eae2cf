"""``lagbench leaderboard submit`` and ``validate``, as they are typed, over real runs of the suite TESTING."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lagbench import load_suite, plan_grid
from lagbench.leaderboard import layout, limits, manifest
from lagbench.leaderboard.former import Submission, read
from lagbench.leaderboard.validate import validate
from lagbench.records.reader import open_run
from lagbench.runner import execute
from tests.cli.run_here import ALGORITHMS, Done, lagbench
from tests.records.forge import write_result

WORDS = ("--author", "A. Body", "--url", "https://example.org/mine", "--license", "MIT")
SAID = ("--tuning", "one setting", "--discarded", "none")
CELL = "Hopper-v5/ppo/lag2-u8-seed1"
PLACE = "runs/Hopper-v5/lag2-u8-seed1"


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with mine.py and its runs of TESTING, with all steps, in runs/. Read it; do not change it."""
    path = tmp_path_factory.mktemp("mine")
    (path / "mine.py").write_text(ALGORITHMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        for cell in plan_grid(Path("runs"), algo=["mine.py:Mine"], suite="TESTING", record="trajectories"):
            execute(cell.spec, cell.path, threads=1)
    return path


@pytest.fixture
def linked(baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs of PPO to take from: made of hard links, so nothing is to be written into. The directory to be in."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(baseline, tmp_path / "runs", copy_function=_link)
    return tmp_path


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def submitted(*arguments: str | Path, runs: str | Path = "runs", name: str = "Mine") -> Done:
    return lagbench("leaderboard", "submit", runs, "--name", name, *WORDS, *arguments)


def test_from_runs_to_a_submission(linked: Path) -> None:
    done = submitted(*SAID, name="My PPO")
    assert (done.code, done.out) == (0, "my-ppo\n")
    made = read(linked / "my-ppo")
    assert done.err == f"8 runs of TESTING, {made.bytes / 1e6:.1f} MB, SHA-256 {made.sha256}\n"
    assert made.sha256 == hashlib.sha256((linked / "my-ppo/submission.json").read_bytes()).hexdigest()
    assert (made.name, made.authors, made.url, made.license) == ("My PPO", ("A. Body",), WORDS[3], "MIT")
    assert (made.statement.tuning, made.statement.discarded) == ("one setting", "none")
    assert (made.algorithm.name, made.config["clip"]) == ("ppo", 0.2)
    checked = lagbench("leaderboard", "validate", "my-ppo")
    assert (checked.code, checked.out, checked.err) == (0, "my-ppo: valid\n", "")
    assert sorted(linked.iterdir()) == [linked / "my-ppo", linked / "runs"]


def test_what_it_holds(linked: Path) -> None:
    submitted(*SAID, "-o", "here/mine")
    path = linked / "here/mine"
    run = path / "runs/Hopper-v5/lag2-u8-seed1"
    assert {file.relative_to(run).as_posix() for file in run.rglob("*") if file.is_file()} == {
        "spec.json", "environment.json", "result.json", "policy.safetensors", "final.arrow",
        "episodes/data.arrow", "evaluations/data.arrow", "phases/data.arrow",
    }  # fmt: skip
    whole = open_run(linked / "runs" / CELL)
    slim = open_run(run)
    # Its hashes are those of the run, whole, though not all of its rows are there.
    slim.verify()
    assert slim.content_hash() == whole.content_hash()
    assert slim.read("episodes")
    assert pa.ipc.open_file(str(run / "episodes/data.arrow")).read_all().num_columns == 0
    (entry,) = [one for one in read(path).runs() if one.path == run]
    final = [e for e in whole.evaluation_episodes() if e.version == whole.spec.phases and e.mode == "stochastic"]
    for own, recorded in zip(entry.final_episodes(), final, strict=True):
        assert (own.seed, own.episode_return, own.observation) == (recorded.seed, recorded.episode_return, None)
        assert own.action.tobytes() == recorded.action.tobytes()
        assert own.reward.tobytes() == recorded.reward.tobytes()
    assert (path / manifest.SOURCE).read_bytes() == whole.spec.source()


def test_the_same_runs_give_the_same_bytes(linked: Path) -> None:
    submitted(*SAID, "-o", "one/mine")
    shutil.move("runs", "moved")
    submitted(*SAID, "-o", "two/mine", runs="moved")
    files = [file for file in Path("one").rglob("*") if file.is_file()]
    assert len(files) == 2 + 8 * 8
    for file in files:
        assert file.read_bytes() == Path("two", file.relative_to("one")).read_bytes()


def test_a_run_with_all_of_its_steps(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    done = submitted(*SAID, "-o", tmp_path / "mine", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json == {
        "path": str(tmp_path / "mine"),
        "submission": read(tmp_path / "mine").sha256,
        "suite": "TESTING",
        "name": "Mine",
        "runs": 8,
        "files": 2 + 8 * 9,
        "bytes": read(tmp_path / "mine").bytes,
    }
    assert validate(tmp_path / "mine").passed
    assert (tmp_path / "mine/algorithm.txt").read_text() == ALGORITHMS
    assert read(tmp_path / "mine").algorithm.name == "mine.py:Mine"
    run = open_run(tmp_path / "mine" / PLACE)
    assert run.result is not None
    assert run.result["rows"]["trajectories"] > 1000
    assert run.content_hash() == run.result["content_hash"]
    assert sum(batch.num_rows for batch in run.read("trajectories")) == 0


def test_a_path_on_this_machine_is_not_shown(tmp_path: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one: Any = {"suite": "TESTING", "task": ["Hopper-v5"], "lag": [2], "seeds": [1], "record": "episodes"}
    (cell,) = plan_grid(Path("runs"), algo=[f"{mine}/mine.py:Mine"], **one)
    execute(cell.spec, cell.path, threads=1)
    places = [place for place in layout.places(load_suite("TESTING")) if place.name == PLACE]
    monkeypatch.setattr(layout, "places", lambda _: places)
    done = submitted(*SAID)
    assert done.err.startswith(
        f"note: spec.json has the algorithm as {mine}/mine.py:Mine; it is shown as mine.py:Mine\n"
    )
    made = read(tmp_path / "mine")
    assert made.algorithm.name == "mine.py:Mine"
    assert set(validate(made.path).table["algorithm"].to_pylist()) == {"mine.py:Mine"}  # type: ignore[index]


def test_what_is_missing_is_listed_before_anything_is_written(linked: Path) -> None:
    shutil.rmtree(linked / "runs" / CELL)
    (linked / "runs/Hopper-v5/ppo/lag0-u8-seed0/result.json").unlink()
    (linked / "runs/Hopper-v5/ppo/lag0-u8-seed1/result.json").unlink()
    run = linked / "runs/Hopper-v5/ppo/lag2-u8-seed0"
    result = json.loads((run / "result.json").read_text())
    (run / "result.json").unlink()
    write_result(run, {**result, "status": "failed", "summary": {"reason": "a mistake"}})
    for name in ("lag0-u8-seed0", "lag0-u8-seed1"):
        shutil.rmtree(linked / "runs/Hopper-v5/ppo" / name)
    done = submitted()
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        "Hopper-v5/lag0-u8-seed0: no run",
        "Hopper-v5/lag0-u8-seed1: no run",
        "Hopper-v5/lag2-u8-seed0: runs/Hopper-v5/ppo/lag2-u8-seed0 is failed: a mistake",
        "Hopper-v5/lag2-u8-seed1: no run",
        "Error: 4 of the 8 cells of TESTING have no result",
    ]
    assert [path.name for path in linked.iterdir()] == ["runs"]


def test_a_run_that_is_not_finished_is_no_result(linked: Path) -> None:
    spec = open_run(linked / "runs" / CELL).spec
    shutil.rmtree(linked / "runs" / CELL)
    from lagbench import shapes
    from lagbench.records.writer import RunWriter

    RunWriter.create(linked / "runs" / CELL, spec, **shapes.sizes(spec)).close()
    done = submitted()
    assert done.err.splitlines()[0] == f"Hopper-v5/lag2-u8-seed1: runs/{CELL} is unfinished"


def test_which_runs_is_not_guessed(linked: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(mine)
    shutil.copy(mine / "mine.py", linked)
    shutil.copytree(mine / "runs", linked / "runs", dirs_exist_ok=True)
    assert submitted().sentence == (
        "Error: there are runs of more than one algorithm; choose one with --algo: mine.py:Mine, ppo"
    )
    assert submitted("--algo", "vaco").sentence == (
        "Error: there is no run of the algorithm vaco; there are runs of mine.py:Mine, ppo"
    )
    assert submitted("--suite", "mujoco-mini-v0").sentence == (
        "Error: there is no run of the suite mujoco-mini-v0; there are runs of TESTING"
    )
    assert submitted(*SAID, "--algo", "ppo", "--suite", "TESTING", "-q").out == "mine\n"
    shutil.copytree(linked / "runs" / CELL, linked / "runs/again")
    assert submitted("--algo", "ppo", "-o", "b").sentence.startswith(
        f"Error: runs/{CELL} and runs/again are both of runs/Hopper-v5/lag2-u8-seed1; give directories with one run"
    )


def test_runs_of_no_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no directory 'runs'" in submitted().sentence
    assert lagbench("run", "--budget", "64", "--actors", "4", "--phase-steps", "16", "--minibatch", "32",
                    "--eval-episodes", "1", "--out", "runs/x", "-q").code == 0  # fmt: skip
    assert submitted().sentence == "Error: there is no run of a suite"


def test_all_runs_are_of_one_method(linked: Path) -> None:
    shutil.rmtree(linked / "runs" / CELL)
    (cell,) = plan_grid(
        linked / "runs", algo=["ppo"], suite="TESTING", task=["Hopper-v5"], lag=[2], seeds=[1], config={"clip": [0.3]},
        record="episodes",
    )  # fmt: skip
    execute(cell.spec, cell.path, threads=1)
    other = cell.path.relative_to(linked)
    assert submitted().sentence == (
        f"Error: all runs must be of one method, and clip is 0.2 in most and 0.3 in {other}"
    )


def test_it_writes_over_nothing(linked: Path) -> None:
    (linked / "mine").mkdir()
    (linked / "link").symlink_to("nowhere")
    for out in ("mine", "link"):
        assert f"Error: {out} is there already" in submitted("-o", out).sentence
    for out in ("My PPO", "..", "x" * 65, "a.b"):
        assert "a submission's directory is called by a-z, 0-9 and -" in submitted("-o", out).sentence
    assert "give another -o" in submitted(name="李明").sentence


@pytest.mark.parametrize(
    ("option", "value", "fault"),
    [
        ("--name", "<b>x</b>", "name has a < or >"),
        ("--author", "", "authors[1] is empty"),
        ("--url", "example.org", "url must be an https address"),
        ("--license", "all rights reserved", "license must be an SPDX licence expression"),
        ("--tuning", "\x1b[2J", "statement.tuning has a character that cannot be printed"),
    ],
)
def test_words_that_cannot_be_said(linked: Path, option: str, value: str, fault: str) -> None:
    done = submitted(*SAID, "-o", "mine", option, value)
    assert done.code == 2
    assert fault in done.sentence
    assert [path.name for path in linked.iterdir()] == ["runs"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_the_statement_is_asked_for(linked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("two settings on seed 1000\nnone\n"))
    done = submitted()
    assert (done.code, done.out) == (0, "mine\n")
    assert "How were the hyperparameters chosen" in done.err
    assert "thrown away" in done.err
    statement = read(linked / "mine").statement
    assert (statement.tuning, statement.discarded) == ("two settings on seed 1000", "none")


def test_nobody_is_asked_where_nobody_is(linked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("an answer\n"))
    assert "nobody is here to be asked: give --tuning. How were" in submitted().sentence
    assert "give --discarded" in submitted("--tuning", "x").sentence
    assert [path.name for path in linked.iterdir()] == ["runs"]


def test_a_source_that_is_elsewhere(mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of runs that were made when none had a copy of it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(mine / "runs", "runs", ignore=shutil.ignore_patterns("source"))
    said = submitted(*SAID).sentence
    assert "there is no file 'mine.py'" in said
    assert said.endswith("give it with --source FILE")
    (tmp_path / "other.py").write_text("import this\n")
    assert "the source given is not that of the runs" in submitted(*SAID, "--source", "other.py").sentence
    (tmp_path / "other.py").write_text(ALGORITHMS)
    assert submitted(*SAID, "--source", "other.py", "-q").code == 0
    assert validate(tmp_path / "mine").passed


def test_slim_runs_have_not_what_it_takes(linked: Path) -> None:
    for run in sorted((linked / "runs").glob("*/*/*")):
        slim = linked / "slim" / run.relative_to(linked / "runs")
        assert lagbench("export", run, "--to", "slim", "-o", slim, "-q").code == 0
    done = submitted(*SAID, runs="slim")
    assert done.code == 1
    assert "is a slim copy, without single steps; use the run that it was made from" in done.sentence
    assert not (linked / "mine").exists()


def test_what_would_not_be_valid_is_not_written(linked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JSON_BYTES", 890)
    done = submitted(*SAID)
    assert (done.code, done.out) == (1, "")
    *problems, error = done.err.splitlines()
    assert len(problems) > 8
    assert all(" are allowed" in line or "missing" in line or "is not there" in line for line in problems)
    assert error.startswith("Error: this would not be a valid submission: files: ")
    assert error.endswith(f" (and {len(problems) - 1} more)")
    assert [path.name for path in linked.iterdir()] == ["runs"]


def test_validate_lists_and_counts(whole: Submission, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(whole.path, bad)
    (bad / "algorithm.txt").write_text("")
    (bad / "x").write_text("")
    done = lagbench("leaderboard", "validate", whole.path, bad)
    assert (done.code, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[0] == f"{whole.path}: valid"
    assert lines[1] == f"{bad}: files: x: it is no file of a submission; take it out"
    assert lines[-1] == f"{bad}: not valid, {len(lines) - 2} problems"
    quiet = lagbench("leaderboard", "validate", whole.path, bad, "-q")
    assert (quiet.code, quiet.out.splitlines()) == (1, lines[1:-1])
    both = lagbench("leaderboard", "validate", whole.path, bad, "--json")
    assert both.code == 1
    assert [one["valid"] for one in both.json] == [True, False]
    assert both.json[0]["submission"] == whole.sha256
    assert set(both.json[0]["checks"].values()) == {"ok"}
    assert {p["check"] for p in both.json[1]["problems"]} == {"files", "hashes", "source"}


def test_what_could_not_be_checked_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = lagbench("leaderboard", "validate", tmp_path / "empty")
    assert done.out.splitlines() == [
        f"{tmp_path}/empty: files: submission.json: it is missing",
        f"{tmp_path}/empty: not checked, for what is wrong before: content hash, evaluation plan, final episodes, "
        "grid, hashes, numbers, one method, policy, result, returns, source, specification, staleness draws, "
        "tables, updates",
        f"{tmp_path}/empty: not valid, 1 problem",
    ]
    assert lagbench("leaderboard", "validate").code == 2


def test_the_group_has_help() -> None:
    alone, asked = lagbench("leaderboard"), lagbench("leaderboard", "--help")
    assert (alone.code, asked.code) == (0, 0)
    assert alone.out == asked.out
    for name, text in (("submit", "Make a submission of RUNS"), ("validate", "Check submissions without running")):
        assert f"  {name} " in asked.out
        assert text in " ".join(asked.out.split())
        done = lagbench("leaderboard", name, "--help")
        assert (done.code, done.err) == (0, "")
        assert "--json" in done.out
        assert "\b" not in done.out
    assert "unknown command 'submitt'; did you mean 'submit'?" in lagbench("leaderboard", "submitt").sentence


def test_places_are_named_by_their_cells(whole: Submission) -> None:
    suite = load_suite("TESTING")
    names = [place.name for place in layout.places(suite)]
    assert len(set(names)) == len(names) == 8
    assert "runs/InvertedPendulum-v5/lag0-u8-seed0" in names
    assert {run.name for run in whole.runs()} == set(names)


def test_a_runs_source_is_its_own(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever one is: it is with the run."""
    monkeypatch.chdir("/")
    assert open_run(next((mine / "runs").glob("*/*/*"))).spec.source() == ALGORITHMS.encode()
