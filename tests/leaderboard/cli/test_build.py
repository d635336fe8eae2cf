"""``lagbench leaderboard build``, and ``serve``, as commands."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from lagbench.leaderboard import board, ratings
from lagbench.leaderboard.former import Submission
from lagbench.leaderboard.serve import Server
from scripts import publish_boards
from tests.cli.run_here import Done, lagbench


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty directory."""
    monkeypatch.chdir(tmp_path)


def run(*line: str) -> Done:
    return lagbench("leaderboard", *line)


@pytest.fixture
def submissions(whole: Submission) -> str:
    return str(whole.path.parents[1])


def test_build_and_build_again(submissions: str, tmp_path: Path) -> None:
    line = ("build", "-o", "site", "--submissions", submissions, "--replications", "50")
    done = run(*line)
    assert (done.code, done.out) == (0, "site/index.html\n"), done.err
    assert "TESTING: 1 submission" in done.err
    first = {p: p.read_bytes() for p in (tmp_path / "site").rglob("*") if p.is_file()}
    assert json.loads((tmp_path / "site/TESTING/board.json").read_text())["results"]["replications"] == 50
    done = run(*line, "-q")
    assert (done.code, done.out, done.err) == (0, "site/index.html\n", "")
    assert {p: p.read_bytes() for p in (tmp_path / "site").rglob("*") if p.is_file()} == first
    done = run(*line, "--json")
    assert json.loads(done.out)["submissions"] == {"TESTING": 1}
    assert "TESTING/ppo.zip" in json.loads(done.out)["files"]
    assert not done.err


def test_what_is_wrong_is_said_before_anything_is_computed(submissions: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    for line, code, error in (
        (("-o", "mine"), 2, "mine holds something else than a site of lagbench's, 'notes.txt'"),
        (("-o", "site", "--replications", "0"), 2, "--replications must be at least 1, not 0"),
        (("-o", "site", "--submissions", "nowhere"), 2, "there is no directory nowhere"),
        ((), 2, "Missing option '-o'"),
    ):
        done = run("build", "--submissions", submissions, *line)
        assert (done.code, done.out) == (code, ""), done.err
        assert error in done.err
        assert "Traceback" not in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_invalid_submission_stops_it(submissions: str, tmp_path: Path) -> None:
    shutil.copytree(submissions, tmp_path / "submissions")
    (tmp_path / "submissions/TESTING/ppo/more.pickle").write_bytes(b"x")
    done = run("build", "-o", "site", "--submissions", "submissions")
    assert done.code == 1
    assert "ppo is not valid, and comes on no board" in done.err
    assert "lagbench leaderboard validate submissions/TESTING/ppo" in done.err
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
        connection.request("GET", "/TESTING/ppo.html")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        serving.send_signal(signal.SIGINT)
        _, errors = serving.communicate(timeout=30)
    assert serving.returncode == 0
    assert "Traceback" not in errors
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The numbers that a browser would get."""
    documents: list[Any] = []

    def serve(server: Server) -> None:
        documents.append(json.loads(server.files["/TESTING/board.json"].read_text()))

    monkeypatch.setattr(Server, "serve_forever", serve)
    return documents


def test_what_is_published_is_served_at_once(
    submissions: str, served: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(board, "BOARDS", tmp_path / "boards")
    options = ["--submissions", submissions, "--boards", str(board.BOARDS), "--replications", "50"]
    CliRunner().invoke(publish_boards.main, options, catch_exceptions=False)
    published = json.loads((tmp_path / "boards/TESTING.json").read_text())
    line = ("serve", "--port", "0", "--submissions", submissions)
    with monkeypatch.context() as patch:
        patch.setattr(ratings, "_ending_in", None)  # what is bootstrapped
        done = run(*line)
    assert (done.code, done.err) == (0, "interrupt to stop\n")
    assert served.pop() == published

    published["entries"][0]["submission"] = "0" * 64
    (tmp_path / "boards/TESTING.json").write_text(json.dumps(published))
    done = run(*line)
    assert "TESTING: the submissions are not those of the published numbers, and these are of 2,000 repl" in done.err
    assert served.pop()["results"]["replications"] == 2000


def test_what_serve_refuses(tmp_path: Path) -> None:
    for line, error in (
        (("nowhere",), "nowhere is no site of lagbench's; make one with: lagbench leaderboard build -o nowhere"),
        (("x", "--submissions", "y"), "give SITE, which is built already, or --submissions"),
        (("--port", "65536"), "65536 is not in the range 0<=x<=65535"),
    ):
        done = run("serve", *line)
        assert done.code == 2
        assert error in done.err
