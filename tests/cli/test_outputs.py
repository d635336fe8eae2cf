"""Outputs that cannot be written: every command that writes says so in a sentence, before its work begins."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lagbench.records.reader import Run
from lagbench.scoring import table
from lagbench.video import film
from tests.cli.run_here import lagbench


@pytest.fixture
def place(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a file, below which nobody can write, not even root; whatever takes time fails the test."""

    def work(*_: Any, **__: Any) -> None:
        pytest.fail("work began")

    for owner, name in ((Run, "verify"), (film, "_draw"), (table, "collect")):
        monkeypatch.setattr(owner, name, work)
    monkeypatch.setattr("lagbench.run_grid", work)
    monkeypatch.setattr("lagbench.leaderboard.cli.build.make", work)
    monkeypatch.setattr("lagbench.leaderboard.validate.validate", work)
    monkeypatch.setattr("lagbench.leaderboard.submit.choose", work)
    (here / "file").touch()
    return here


COMMANDS: dict[str, Callable[[Path], tuple[str | Path, ...]]] = {
    "export parquet": lambda run: ("export", run, "--to", "parquet", "-o", "file/out"),
    "export slim": lambda run: ("export", run, "--to", "slim", "-o", "file/out"),
    "export minari": lambda run: ("export", run, "--to", "minari", "-o", "file/out"),
    "video": lambda run: ("video", run, "-o", "file/out.gif"),
    "score": lambda run: ("score", run, "--table", "file/out"),
    "report": lambda run: ("report", run, "-o", "file/out"),
    "compare": lambda run: ("compare", "ppo", "--suite", "mujoco-mini-v1", "-o", "file/out"),
    "submit": lambda run: (
        "leaderboard", "submit", run, "--name", "X", "--author", "A", "--url", "https://example.org", "--license",
        "MIT", "-o", "file/out",
    ),
    "build": lambda run: ("leaderboard", "build", "-o", "file/out"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_before_work_begins(name: str, finished: Path, place: Path) -> None:
    done = lagbench(*COMMANDS[name](finished))
    assert done.code == 1
    assert done.sentence.startswith("Error: cannot write ")
    assert "file/out" in done.sentence
    assert "(Not a directory); move away what is not a directory, then " in done.sentence
    assert sorted(path.name for path in place.iterdir()) == ["file", "mine.py"]


def test_what_is_no_file_is_not_replaced(finished: Path, place: Path) -> None:
    os.mkfifo(place / "pipe")
    done = lagbench("score", finished, "--table", "pipe")
    assert done.code == 1
    assert "cannot write pipe (it is neither a file nor a directory); move it away" in done.sentence


def test_a_directory_is_made_where_it_is_missing(finished: Path, here: Path) -> None:
    assert lagbench("score", finished, "--table", "some/where/table.arrow", "--replications", "20", "-q").code == 0
    assert (here / "some/where/table.arrow").is_file()
