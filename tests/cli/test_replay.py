"""``lagbench replay``: a line a check, the first row that differs, and the exit code."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run_here import SMALL, lagbench
from tests.records.forge import Columns, change_table


@pytest.fixture
def forged(finished: Path, here: Path) -> Path:
    shutil.copytree(finished, here / "run")

    def change(columns: Columns) -> None:
        columns["reward"][5][3] += 0.5

    change_table(here / "run", "evaluations", change)
    return Path("run")


def test_a_run(finished: Path) -> None:
    done = lagbench("replay", finished, "--threads", "1")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert all(line.startswith("ok    ") for line in lines)
    names = [line[6:26].strip() for line in lines]
    assert names == [
        "content hash",
        "evaluation plan",
        "staleness draws",
        "behaviour versions",
        "episode sums",
        "evaluation episodes",
        "policy",
    ]
    assert lines[5].endswith(" steps, bit for bit")
    assert "of the final evaluation, |Δaction| ≤ " in lines[6]


def test_training_episodes_too(finished: Path) -> None:
    done = lagbench("replay", finished, "--training")
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("ok    training episodes    ")
    assert lagbench("replay", finished, "--training", "-q").out == ""


def test_as_json(finished: Path, forged: Path) -> None:
    done = lagbench("replay", finished, "--training", "--json")
    assert (done.code, done.err) == (0, "")
    rows = json.loads((finished / "result.json").read_text())["rows"]
    assert (done.json["passed"], done.json["path"], done.json["status"]) == (True, str(finished), "completed")
    assert (done.json["episodes"], done.json["training_steps"]) == (rows["evaluations"], rows["trajectories"])
    done = lagbench("replay", forged, "--json")
    assert (done.code, done.err, done.json["passed"]) == (1, "", False)
    (failed,) = [check for check in done.json["checks"] if check["outcome"] == "failed"]
    difference: dict[str, Any] = failed["difference"]
    assert difference["table"] == "evaluations"
    assert difference["where"] == {"evaluation": 2, "mode": "mode", "episode": 0, "step": 3}
    assert difference["column"] == "reward"
    assert difference["recorded"] == difference["expected"] + 0.5


def test_the_row_that_differs(forged: Path) -> None:
    done = lagbench("replay", forged)
    assert done.code == 1
    (failed,) = [line for line in done.out.splitlines() if not line.startswith("ok")]
    assert failed.startswith(
        "FAIL  evaluation episodes  evaluations, evaluation 2, deterministic, episode 0, step 3: reward is "
    )
    assert lagbench("replay", forged, "-q").out == failed + "\n"


def test_what_was_not_recorded(here: Path) -> None:
    assert lagbench("run", *SMALL, "--record", "episodes", "--out", "run", "-q").code == 0
    done = lagbench("replay", "run")
    assert done.code == 0
    assert "skip  episode sums         the run recorded no transitions" in done.out
    done = lagbench("replay", "run", "--training")
    assert done.code == 1
    assert done.sentence == (
        "Error: run has no training episodes to replay: it was run with --record episodes; leave out --training"
    )


def test_a_run_that_is_not_finished(here: Path) -> None:
    assert lagbench("run", "--algo", "mine.py:OutOfMemory", *SMALL, "--out", "run", "-q").code == 1
    done = lagbench("replay", "run", "--training")
    assert done.code == 0
    assert "skip  policy               the run is not finished and has no policy file yet" in done.out
    assert done.err.splitlines()[-1] == "note: it is not finished: 2 of 5 phases were committed and checked"


def test_an_edited_spec_is_not_valid(finished: Path, here: Path) -> None:
    shutil.copytree(finished, here / "run")
    spec = json.loads(Path("run/spec.json").read_text())
    Path("run/spec.json").write_text(json.dumps({**spec, "seed": 5}))
    done = lagbench("replay", "run")
    assert done.code == 1
    assert "spec.json is not the specification with which this run was started (seed is 5, was 0)" in done.sentence
