"""Real processes, real signals, a real terminal."""

import os
import pty
import random
import re
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest

from lagbench.records.reader import open_run
from tests.cli.processes import started, until
from tests.cli.run_here import SMALL, content_hash, entries, lagbench

LONG = (*SMALL[:-4], "--budget", "64k", "--eval-episodes", "1")


@pytest.mark.parametrize(("number", "code", "times"), [(signal.SIGINT, 130, 1), (signal.SIGTERM, 143, 2)])
def test_a_signal_ends_a_run_so_that_it_can_be_resumed(here: Path, number: int, code: int, times: int) -> None:
    """Once, at the end of the phase; twice, at once."""
    path = here / "my run"
    with started(here, "run", *LONG, "--out", "my run", "-q") as child:
        until((path / "checkpoint/state.pt").exists)
        for _ in range(times):
            child.signal(number)
        assert child.wait() == code
    found = re.fullmatch(r"interrupted after (\d+) of 1000 phases; resume with: lagbench resume 'my run'\n", child.err)
    assert found, child.err
    assert child.out == ""
    run = open_run(path)
    assert run.status == "unfinished"
    # A second signal may come between a phase's commit and its checkpoint.
    assert run.phases.count_rows() - int(found[1]) in range(times)


KILLED = (*SMALL[:-4], "--lag", "3", "--budget", "1280", "--eval-episodes", "1")  # twenty phases


def test_a_run_killed_again_and_again_has_the_rows_of_one_left_alone(here: Path) -> None:
    """At random moments, wherever they fall."""
    alone, path = here / "alone", here / "run"
    assert lagbench("run", "--algo", "vaco", *KILLED, "--out", alone, "-q").code == 0
    moments = random.Random(0)
    for kill in range(7):
        arguments = ("resume", "run") if path.exists() else ("run", "--algo", "vaco", *KILLED, "--out", "run")
        with started(here, *arguments, "-q") as child:
            until(lambda kills=kill: entries(path) > kills)
            if kill % 2:  # in a phase that follows on another; else in the set-up or the first
                saved = checkpoints(path)
                until(lambda before=saved: checkpoints(path) != before)
            child.process.join(moments.uniform(0.0, 0.1 if kill % 2 else 0.3))
            child.signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL, child.err
    with started(here, "resume", "run", "-q") as child:
        assert child.wait() == 0, child.err
    assert content_hash(path) == content_hash(alone)
    for file in ("policy.safetensors", "result.json", "spec.json"):
        assert (path / file).read_bytes() == (alone / file).read_bytes()
    assert entries(path) == 8


def checkpoints(path: Path) -> int:
    """Another number after each checkpoint."""
    file = path / "checkpoint/state.pt"
    return file.stat().st_mtime_ns if file.exists() else 0


def test_two_processes_do_not_write_one_run(here: Path) -> None:
    with started(here, "run", *LONG, "--out", "run", "-q") as first:
        until((here / "run/checkpoint/state.pt").exists)
        again = lagbench("run", *LONG, "--out", "run")
        assert (again.code, again.sentence) == (
            2,
            "Error: run already contains a run (spec.json); give another directory with --out, or resume with: "
            "lagbench resume run",
        )
        resumed = lagbench("resume", "run")
        assert resumed.code == 1
        assert resumed.sentence.startswith("Error: another process is writing the run run; ")
        assert first.process.is_alive()
        first.signal(signal.SIGTERM)
        assert first.wait() == 143
    assert "unfinished" in lagbench("show", "run").out


def test_on_a_terminal(here: Path) -> None:
    """The command as it is installed: a sign of life, the heading, a display that moves, the summary, the directory."""
    ours, theirs = pty.openpty()
    command = [f"{sysconfig.get_path('scripts')}/lagbench", "run", "--algo", "vaco", "--lag", "3", *SMALL]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(command, cwd=here, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        seen = b""
        # Linux reports the other side's end as an error.
        try:
            while data := os.read(ours, 1 << 16):
                seen += data
        except OSError:
            pass
        assert process.wait() == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    order = ["starting…", "algorithm", "vaco", "config", "records", "━━━", "setting up", "status", "completed"]
    places = [text.index(word) for word in order]
    assert places == sorted(places)
    assert re.search(r"\d of 320 actor steps · [\d,]+/s · \d+ s left", text)
    assert re.search(
        r"evaluation -?[\d.]+ at \d+% · deterministic actions -?[\d.]+ · backward lag [\d.]+ · TV 0\.\d+ · "
        r"filtered [\d.]+%",
        text,
    )
    assert text.rstrip().splitlines()[-1] == "runs/Hopper-v5/vaco/lag3-u20-seed0-0"
    assert max(len(line) for line in text.replace("\r", "\n").splitlines()) <= 100
    # The display is gone at the end, and the cursor is back.
    assert b"\x1b[?25h" in seen[seen.rindex(b"\x1b[?25l") :]
