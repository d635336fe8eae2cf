from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lagbench import LagbenchError, UsageError, load_suite, resolve
from lagbench import open as open_run
from lagbench.leaderboard import submission, submit
from lagbench.leaderboard.documents import encode
from lagbench.leaderboard.submission import Installed, Submission
from lagbench.runner import execute
from tests.cli.run_here import lagbench
from tests.leaderboard.conftest import METADATA

OPTIONS = ["--author", "A. Body", "--url", "https://example.org/mine", "--license", "MIT"]
SAID = ["--tuning", "None.", "--discarded", "None."]


@pytest.fixture(scope="module")
def submitted(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Submission:
    """The submission of the runs. Read it; do not change it."""
    return submit.submit(submit.choose([baseline]), METADATA, tmp_path_factory.mktemp("submitted") / "mine")


def test_a_submission_holds_method_and_results(submitted: Submission, baseline: Path, method: Path) -> None:
    assert sorted(submission.listed(submitted.path)) == [
        "results.json",
        "source/helpers.py",
        "source/mine.py",
        "submission.json",
    ]
    assert (submitted.path / "source/mine.py").read_bytes() == method.read_bytes()
    assert submitted.manifest.algorithm.name == "mine.py:Mine"
    assert submitted.manifest.config["size"] == 0.5
    assert str(method.parent) not in "".join(file.read_text() for file in submitted.path.rglob("*.json"))
    suite = load_suite("TESTING")
    assert submitted.manifest.suite.sha256 == suite.sha256
    assert [(c.task, c.lag, c.updates, c.seed) for c in submitted.claim.cells] == [
        (c.task, c.protocol.lag, c.protocol.updates, c.seed) for c in suite.cells()
    ]
    for cell in submitted.claim.cells:
        run = open_run(next((baseline / cell.task).glob(f"*/*/lag{cell.lag}-u{cell.updates}-seed{cell.seed}")))
        assert [(p.mean, p.standard_error) for p in run.curve()] == list(zip(cell.returns, cell.errors, strict=True))
        assert [p.mean for p in run.curve("mode")] == list(cell.mode_returns)
    assert submitted.claim.packages.keys() == {"envpool", "lagbench"}


def test_the_same_runs_give_the_same_bytes(submitted: Submission, baseline: Path, tmp_path: Path) -> None:
    shutil.copytree(baseline, tmp_path / "elsewhere")
    again = submit.submit(submit.choose([tmp_path / "elsewhere"]), METADATA, tmp_path / "mine")
    assert again.sha256 == submitted.sha256


def test_a_whole_suite_takes_about_a_hundred_kilobytes(submitted: Submission) -> None:
    """45 cells with eleven evaluations each, as mujoco-mini-v1 has them."""
    cell = submitted.claim.cells[0]
    eleven = tuple(1234.567890123456 + i for i in range(11))
    large = submission.Cell(
        task="HalfCheetah-v5",
        lag=cell.lag,
        updates=cell.updates,
        seed=0,
        status="completed",
        returns=eleven,
        errors=eleven,
        mode_returns=eleven,
        mode_errors=eleven,
    )
    claim = msgspec.structs.replace(submitted.claim, cells=(large,) * 45)
    assert len(encode(claim)) < 100_000


def grid(baseline: Path, tmp_path: Path) -> Path:
    shutil.copytree(baseline, tmp_path / "runs")
    return tmp_path / "runs"


def test_an_incomplete_grid_is_refused(baseline: Path, tmp_path: Path) -> None:
    runs = grid(baseline, tmp_path)
    gone, unfinished = sorted(runs.glob("Hopper-v5/*/*/lag2-*"))
    shutil.rmtree(gone)
    (unfinished / "result.json").unlink()
    told = lagbench("leaderboard", "submit", runs, "--name", "Mine", *OPTIONS, *SAID)
    assert told.code == 1
    assert "Hopper-v5, lag 2, seed 0: no run\n" in told.err
    assert f"Hopper-v5, lag 2, seed 1: {unfinished} is unfinished\n" in told.err
    assert "2 of the 8 cells of TESTING have no result" in told.err


def test_two_runs_of_a_cell_are_refused(baseline: Path, tmp_path: Path) -> None:
    runs = grid(baseline, tmp_path)
    one = next(runs.glob("Hopper-v5/*/*/lag2-*-seed1"))
    shutil.copytree(one, one.with_name("again"))
    with pytest.raises(
        UsageError, match="are both of Hopper-v5, lag 2, seed 1; give directories with one run per cell"
    ):
        submit.choose([runs])


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"torch_threads": 2}, "torch_threads is 1 in most and 2 in"),
        ({"config": {"size": 0.25}}, "size is 0.5 in most and 0.25 in"),
        ({"config": {"size": 0.5, "learning_rate": 0.1}}, "learning_rate is 0.0003 in most and 0.1 in"),
    ],
)
def test_mixed_settings_are_refused(
    baseline: Path, method: Path, tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    runs = grid(baseline, tmp_path)
    shutil.rmtree(one := next(runs.glob("InvertedPendulum-v5/*/*/lag2-*-seed1")))
    options = {"config": {"size": 0.5}, "record": "episodes", **changed}
    cell: dict[str, Any] = {"suite": "TESTING", "task": "InvertedPendulum-v5", "lag": 2, "seed": 1}
    execute(resolve(algo=f"{method}:Mine", **cell, **options), one, threads=1)
    with pytest.raises(UsageError, match=re.escape(f"{told} {one}")):
        submit.choose([runs])


def test_a_source_that_changed_between_runs_is_refused(baseline: Path, method: Path, tmp_path: Path) -> None:
    runs = grid(baseline, tmp_path)
    shutil.copytree(method.parent, tmp_path / "changed")
    (tmp_path / "changed/helpers.py").write_text("def scale(loss, size):\n    return -size * loss\n")
    shutil.rmtree(one := next(runs.glob("InvertedPendulum-v5/*/*/lag2-*-seed1")))
    cell: dict[str, Any] = {
        "suite": "TESTING",
        "task": "InvertedPendulum-v5",
        "lag": 2,
        "seed": 1,
        "record": "episodes",
    }
    execute(resolve(algo=f"{tmp_path}/changed/mine.py:Mine", config={"size": 0.5}, **cell), one, threads=1)
    with pytest.raises(UsageError, match="there are runs of several algorithms"):
        submit.choose([runs])


def test_the_source_of_an_installed_algorithm_is_its_module() -> None:
    spec = resolve(algo="vaco", suite="TESTING", task="Hopper-v5", lag=0)
    found, (cls, installed) = submit.source(spec), submit._class(spec)
    assert (found.main, cls) == ("vaco.py", "VACO")
    assert b"class VACO" in found.files["vaco.py"]
    assert isinstance(installed, Installed)
    assert (installed.name, installed.distribution) == ("vaco", "lagbench")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--name", "<b>"], "name has a < or >"),
        (["--name", "Mine", "--url", "http://x"], "url is not an https address"),
        (["--name", "Mine", "-o", "Mine!"], "the name of a submission's directory must be a-z"),
        (["--name", "Mine", "-o", "there"], "there already exists"),
        (["--name", "Mine", "--algo", "ppo"], "there is no run of the algorithm ppo; there are runs of"),
        (
            ["--name", "Mine"],
            "a submission needs --tuning, and there is no terminal to ask on: How were the hyperparameters chosen",
        ),
    ],
)
def test_what_cannot_be_said_is_refused_before_anything_is_written(
    baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkdir("there")
    done = lagbench("leaderboard", "submit", baseline, *OPTIONS, *options)
    assert done.code == 2
    assert told in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_command_says_what_it_wrote(baseline: Path, tmp_path: Path, submitted: Submission) -> None:
    out = str(tmp_path / "mine")
    done = lagbench("leaderboard", "submit", baseline, "--name", "Mine", *OPTIONS, *SAID, "-o", out, "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said == {
        "path": out,
        "submission": submitted.sha256,
        "suite": "TESTING",
        "name": "Mine",
        "runs": 8,
        "bytes": submitted.bytes,
    }
    with pytest.raises(LagbenchError, match="already exists"):
        submit.check_out(tmp_path / "mine")
