"""``lagbench leaderboard build``, and ``serve``, as commands."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from lagbench import scoring
from lagbench.leaderboard import methods, published
from scripts import publish_scores
from tests.cli.run_here import Done, lagbench
from tests.leaderboard import made


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory."""
    monkeypatch.chdir(tmp_path)


def run(*line: str) -> Done:
    return lagbench("leaderboard", *line)


@pytest.fixture
def submissions(ppo: Path, referenced: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """PPO's own runs, published; one submission that was trained again, and one that was not."""
    CliRunner().invoke(publish_scores.main, [str(ppo), f"--scores={tmp_path / 'x/scores'}", f"--powers={tmp_path}"])
    monkeypatch.setattr(published, "DIRECTORY", tmp_path / "x/scores")
    (tmp_path / "TESTING.power.json").unlink()
    made.train(made.submit(tmp_path / "x", "mine", made.runs(70.0)), made.runs(70.0, seed=1))
    made.submit(tmp_path / "x", "claimed", made.runs(90.0, seed=2))
    return str(tmp_path / "x/submissions")


def test_build_and_build_again(submissions: str, tmp_path: Path) -> None:
    line = ("build", "-o", "site", "--submissions", submissions, "--replications", "50")
    done = run(*line)
    assert (done.code, done.out) == (0, "site/index.html\n"), done.err
    assert "TESTING: 2 ranked, 1 claimed" in done.err
    assert "mujoco-mini-v1: 0 ranked, 0 claimed" in done.err
    first = {p: p.read_bytes() for p in (tmp_path / "site").rglob("*") if p.is_file()}
    document = json.loads((tmp_path / "site/TESTING/results.json").read_text())
    assert document["results"]["replications"] == 50
    assert {row["key"]: row["state"] for row in document["rows"]} == {
        **{"ppo.baseline": "baseline", "mine": "rerun", "claimed": "claim"}
    }
    # PPO's page has what its runs came to.
    found = scoring.table.from_file(tmp_path / "site/TESTING/ppo.baseline/runs.arrow")
    assert len(found) == 8
    assert all(
        tv == 0 for tv, lag in zip(found["tv_backward"].to_pylist(), found["lag"].to_pylist(), strict=True) if not lag
    )
    done = run(*line, "--json")
    assert json.loads(done.out)["rows"]["TESTING"] == {"ranked": 2, "claims": 1}
    assert "TESTING/mine/index.html" in json.loads(done.out)["files"]
    assert not done.err
    assert {p: p.read_bytes() for p in (tmp_path / "site").rglob("*") if p.is_file()} == first


def test_what_is_wrong_is_said_before_anything_is_computed(submissions: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    for line, code, error in (
        (("-o", "mine"), 2, "mine contains a file that is not part of a lagbench site, 'notes.txt'"),
        (("-o", "site", "--replications", "0"), 2, "--replications must be at least 1, not 0"),
        (("-o", "site", "--submissions", "nowhere"), 2, "there is no directory nowhere"),
        ((), 2, "Missing option '-o'"),
    ):
        done = run("build", "--submissions", submissions, *line)
        assert (done.code, done.out) == (code, ""), done.err
        assert error in done.err
        assert "Traceback" not in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "x"]


def test_an_invalid_submission_stops_it(submissions: str, tmp_path: Path) -> None:
    (tmp_path / "x/submissions/TESTING/mine/more.pickle").write_bytes(b"x")
    done = run("build", "-o", "site", "--submissions", submissions)
    assert done.code == 1
    assert "'more.pickle' does not belong in a submission" in done.sentence
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize("built", [True, False])
def test_serve(submissions: str, tmp_path: Path, built: bool) -> None:
    """What is built, or what is built for the occasion and gone afterwards; an interrupt ends it well."""
    what = ["site"] if built else ["--submissions", submissions]
    if built:
        run("build", "-o", "site", "--submissions", submissions, "--replications", "50")
    (tmp_path / "tmp").mkdir()
    serving = subprocess.Popen(
        [sys.executable, "-m", "lagbench", "leaderboard", "serve", "--port", "0", *what],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that started the tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert serving.stdout is not None
        url = urlsplit(serving.stdout.readline().strip())
        assert url.hostname == "127.0.0.1"
        connection = http.client.HTTPConnection("127.0.0.1", url.port or 0, timeout=30)
        connection.request("GET", "/TESTING/mine/index.html")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        serving.send_signal(signal.SIGINT)
        _, errors = serving.communicate(timeout=30)
    assert serving.returncode == 0
    assert "Traceback" not in errors
    assert list((tmp_path / "tmp").iterdir()) == []


def test_what_serve_refuses(tmp_path: Path) -> None:
    for line, error in (
        (("nowhere",), "nowhere is not a lagbench site; make one with: lagbench leaderboard build -o nowhere"),
        (("x", "--submissions", "y"), "give either SITE or --submissions"),
        (("--port", "65536"), "65536 is not in the range 0<=x<=65535"),
    ):
        done = run("serve", *line)
        assert done.code == 2
        assert error in done.err


def test_a_board_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As lagbench is installed before anything is published: each suite says so."""
    monkeypatch.setattr(published, "DIRECTORY", tmp_path / "nowhere")
    monkeypatch.setattr(methods, "SUBMISSIONS", tmp_path / "nowhere")
    done = run("build", "-o", "site", "-q")
    assert (done.code, done.err) == (0, "")
    assert "Nothing is ranked on mujoco-mini-v1 yet" in (tmp_path / "site/index.html").read_text(encoding="utf-8")
