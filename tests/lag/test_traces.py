"""A trace is a run's versions as a file: played exactly, known by its digest, refused where it does not fit."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lagbench.lag import staleness, traces
from lagbench.records.reader import open_run
from lagbench.spec import RunSpec
from tests.cli.run_here import SMALL, content_hash, lagbench
from tests.ends import cut_off

PLAY = ("run", "--algo", "vaco", *SMALL, "-q")


def forget() -> None:
    """What this process has read: another one has not."""
    staleness.mode.cache_clear()
    traces.versions.cache_clear()


@pytest.fixture
def traced(finished: Path, tmp_path: Path) -> Path:
    """A run that played the versions of ``finished``, its digest being all that its spec says of them."""
    out = tmp_path / "traced"
    done = lagbench(*PLAY, "--lag-mode", f"trace:{finished}", "--out", out)
    assert (done.code, done.err) == (0, "")
    return out


def table(rows: list[tuple[int, int, int]]) -> pa.Table:
    return pa.table(dict(zip(("phase", "actor", "version"), map(pa.array, zip(*rows, strict=True)), strict=True)))


def write(file: Path, rows: pa.Table) -> Path:
    with pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows)
    return file


# Five phases of four actors, as SMALL has.
WHOLE = [(phase, actor, max(0, phase - actor % 2)) for phase in range(5) for actor in range(4)]


def test_the_loop_plays_what_a_run_recorded(finished: Path, traced: Path) -> None:
    """Same versions, same seed, same algorithm: the same rows, though nothing was drawn."""
    assert content_hash(traced) == content_hash(finished)
    protocol = open_run(traced).spec.protocol
    kept = (traced / "trace" / "trace.arrow").read_bytes()
    assert (protocol.lag, protocol.lag_mode) == (2, "trace")
    assert protocol.lag_options == {"trace_sha256": hashlib.sha256(kept).hexdigest()}
    assert "trace trace_sha256=" in lagbench("show", traced).out


def test_the_copy_in_the_run_is_all_that_it_takes(traced: Path, finished: Path, tmp_path: Path) -> None:
    moved, again = tmp_path / "moved", tmp_path / "again"
    shutil.copytree(traced, moved)
    shutil.rmtree(traced)
    forget()
    assert lagbench("replay", moved, "-q").code == 0
    forget()
    assert lagbench("run", "--spec", moved / "spec.json", "--out", again, "-q").code == 0
    assert content_hash(again) == content_hash(finished)
    forget()
    slim = tmp_path / "slim"
    assert lagbench("export", again, "--to", "slim", "-o", slim, "-q").code == 0
    assert (slim / "trace" / "trace.arrow").is_file()
    shutil.rmtree(moved / "trace")
    forget()
    refused = lagbench("run", "--spec", moved / "spec.json", "--out", tmp_path / "none", "-q")
    assert refused.code == 2
    assert "cannot be found, and there is no copy next to the specification; give the spec.json" in refused.sentence


def test_a_run_that_was_cut_off_goes_on_from_its_own_copy(traced: Path, finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    cut_off(RunSpec.load(traced / "spec.json"), path)
    shutil.rmtree(traced)
    forget()
    assert lagbench("resume", path, "-q").code == 0
    assert content_hash(path) == content_hash(finished)


def test_a_file_of_another_engine_is_played(tmp_path: Path) -> None:
    """In any order of rows, with any integers, with columns of its own."""
    rows = table(WHOLE[::-1])
    rows = rows.append_column("engine", pa.array(["theirs"] * 20)).set_column(
        2, "version", rows["version"].cast("uint8")
    )
    out = tmp_path / "run"
    done = lagbench(*PLAY, "--lag-mode", f"trace:{write(tmp_path / 'theirs.arrow', rows)}", "--out", out)
    assert (done.code, done.err) == (0, "")
    run = open_run(out)
    expected = np.array([version for *_, version in WHOLE]).reshape(5, 4).tolist()
    assert run.phases.to_table()["versions"].to_pylist() == expected
    assert run.spec.protocol.lag == 1


def test_a_sweep_plays_one(finished: Path, tmp_path: Path) -> None:
    """Its cells are processes of their own, which have it from the sweep."""
    out = tmp_path / "sweep"
    small = [x for x in SMALL if x != "--eval-episodes"]
    done = lagbench(
        "sweep",
        "--algo",
        "vaco",
        *small[:-1],
        "--eval-episodes",
        "1",
        "--lag-mode",
        f"trace:{finished}",
        "-o",
        out,
        "-q",
    )
    assert (done.code, done.err) == (0, "")
    (run,) = (file.parent for file in out.rglob("spec.json"))
    assert content_hash(run)["phases"] == content_hash(finished)["phases"]
    assert json.loads((run / "spec.json").read_text())["protocol"]["lag"] == 2


@pytest.mark.parametrize(
    ("rows", "options", "sentence"),
    [
        (
            WHOLE,
            "--actors 8",
            "the trace has 5 phases of 4 actors, and this run 2 phases of 8 actors; give --actors 4 an",
        ),
        (
            WHOLE,
            "--budget 640",
            "the trace has 5 phases of 4 actors, and this run 10 phases of 4 actors; give --actors",
        ),
        (WHOLE, "--lag 3", "the lag of trace is determined by the mode and is 1, not 3; leave --lag out"),
        (WHOLE[:-1], "", "does not have one row for each of 5 phases and 4 actors, which are counted from 0"),
        ([*WHOLE[:-1], WHOLE[0]], "", "does not have one row for each of 5 phases and 4 actors"),
        ([(p, a - 1, v) for p, a, v in WHOLE], "", "does not have one row for each of 5 phases and 3 actors"),
        ([*WHOLE[:-1], (4, 3, 5)], "", "gives actor 3 version 5 in phase 4, where there are versions 0 to 4"),
        ([*WHOLE[:-1], (4, 3, -1)], "", "gives actor 3 version -1 in phase 4, where there are versions 0 to 4"),
        ([*WHOLE[:-1], (4, 3, None)], "", "has nulls; see docs/lag.md"),
        ([(p, a, float(v)) for p, a, v in WHOLE], "", "is not a trace: it has no column 'version' of integers"),
    ],
)
def test_what_does_not_fit_is_refused(
    rows: list[tuple[int, int, int]], options: str, sentence: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "trace.arrow", table(rows))
    small = dict(zip(SMALL[::2], SMALL[1::2], strict=True)) | dict([options.split()] if options else [])
    done = lagbench("run", *sum(small.items(), ()), "--lag-mode", f"trace:{file}", "--out", tmp_path / "run", "-q")
    assert done.code == 2
    assert sentence in done.sentence
    assert not (tmp_path / "run").exists()


def test_what_is_no_trace_is_refused(finished: Path, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("phase,actor,version\n")
    unfinished = tmp_path / "unfinished"
    shutil.copytree(finished, unfinished)
    (unfinished / "result.json").unlink()
    for mode, sentence in {
        f"trace:{text}": "is not a trace: it cannot be read as an Arrow IPC file",
        "trace:no-such-run": "there is no trace in 'no-such-run': there is no run 'no-such-run', neither",
        f"trace:{unfinished}": "unfinished is not finished; resume with: lagbench resume",
        "trace": "no trace was given; give --lag-mode trace:RUN, or trace:FILE",
        "trace:": "no trace was given; give --lag-mode trace:RUN, or trace:FILE",
    }.items():
        done = lagbench(*PLAY, "--lag-mode", mode, "--out", tmp_path / "run")
        assert done.code == 2
        assert sentence in done.sentence
