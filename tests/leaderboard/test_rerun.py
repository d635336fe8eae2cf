"""A method is trained again from its source, in the sandbox: real runs of TESTING."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from lagbench import LagbenchError, Planned, Source, UsageError, load_suite, make_executor, run_grid, scoring
from lagbench.leaderboard import rerun, reruns, sandbox, submission
from lagbench.leaderboard.reruns import Beacon
from lagbench.leaderboard.sandbox import Limits, Sandbox
from lagbench.leaderboard.submission import Submission
from lagbench.seeding import DRAWN
from tests.cli.run_here import Done, lagbench
from tests.leaderboard.conftest import METHOD
from tests.leaderboard.test_validate import changed

BEACON = ("--beacon", "5a" * 32, "--beacon-name", "drand quicknet, round 5")


LINE = ("leaderboard", "rerun", "submissions/TESTING/mine", "-o", "runs", "--cells", "0.5", "-j", "2", "-q")


@pytest.fixture(scope="module")
def root(submitted: Submission, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A board's directory, whose one submission was rerun: half of its seeds. Read it; do not change it.

    The first time, the rerun was killed when a run had a checkpoint.
    """
    root = tmp_path_factory.mktemp("board")
    shutil.copytree(submitted.path, root / "submissions/TESTING/mine")
    command: list[str | Path] = [Path(sys.executable).with_name("lagbench"), *LINE, *BEACON]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not [*root.glob("runs/runs/*/*/checkpoint/state.pt")]:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (root / "reruns").exists()
    done = run(root, *BEACON)
    assert done.code == 0, done.err
    assert done.out.endswith("reruns/TESTING/mine.arrow\n")
    return root


def run(root: Path, *arguments: str | Path) -> Done:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return lagbench(*LINE, *arguments)


def test_the_table_says_of_what_it_is(root: Path, submitted: Submission) -> None:
    found = reruns.read(reruns.file_of(root / "submissions/TESTING/mine"))
    record = found.record
    assert record.submission == submitted.sha256
    assert record.beacon == Beacon(value="5a" * 32, name="drand quicknet, round 5")
    assert record.seeds == rerun.seeds(submitted.sha256, record.beacon, 1)
    assert min(record.seeds) >= DRAWN
    assert (record.of, record.is_whole) == (2, False)
    assert record.sandbox is not None
    assert record.sandbox.startswith("bubblewrap ")
    rows = found.table.to_pylist(maps_as_pydicts=None)
    assert [(row["task"], row["lag"], row["seed"]) for row in rows] == [
        (task, lag, record.seeds[0]) for task in ("Hopper-v5", "InvertedPendulum-v5") for lag in (0, 2)
    ]
    for row in rows:
        assert row["algorithm"] == "mine"
        assert row["algorithm_source"] == submitted.manifest.algorithm.sha256
        assert json.loads(row["config"]) == dict(submitted.manifest.config)
        assert not Path(row["path"]).is_absolute()
        assert json.loads(row["spec"])["torch_threads"] == 1
    assert reruns.file_of(root / "submissions/TESTING/mine").stat().st_size < 50_000


def test_it_is_scored_beside_runs_of_the_suites_own_seeds(root: Path) -> None:
    found = reruns.read(reruns.file_of(root / "submissions/TESTING/mine"))
    rows = found.table.to_pylist(maps_as_pydicts=None)
    others = [{**row, "algorithm": "other", "seed": seed, "path": f"{seed}"} for row in rows for seed in (0, 1)]
    both = scoring.table.concat([found.table, pa.Table.from_pylist(others, scoring.table.SCHEMA)])
    results = scoring.score.score(both, suite="TESTING", replications=20)
    assert {line.label: (line.runs, line.missing) for line in results.lines} == {"mine": (4, ()), "other": (8, ())}


def test_it_is_not_rerun_until_it_is_lucky(root: Path, tmp_path: Path) -> None:
    assert "and a method is rerun only once" in run(root).sentence
    other = run(root, "--table", tmp_path / "x.arrow", "--beacon", "6b" * 32, "--beacon-name", "drand, round 6")
    assert "holds a rerun with another value of the beacon" in other.sentence
    assert "give both --beacon and --beacon-name" in run(root, "--beacon", "6b" * 32).sentence


def test_one_more_run_of_a_cell_checks_the_table(root: Path, tmp_path: Path) -> None:
    done = run(root, "--again")
    assert done.code == 0, done.err
    assert re.fullmatch(r".*-v5, lag [02], 8 updates, seed \d+: the same, bit for bit\n", done.out)
    # The same run against a table that somebody edited.
    path = root / "submissions/TESTING/mine"
    found = reruns.read(reruns.file_of(path))
    (trained,) = (file.parent.absolute() for file in (root / "runs/again").glob("*/*/spec.json"))
    (cell,) = (one for one in cells_of(path, found, root / "runs/again") if one.path == trained)
    rows = [{**row, "content_hash": "0" * 64, "final": 1e5} for row in found.table.to_pylist(maps_as_pydicts=None)]
    edited = reruns.Rerun(found.record, pa.Table.from_pylist(rows, scoring.table.SCHEMA))
    compared = rerun.compare(cell, edited, root / "runs/again", sandbox.choose())
    assert not compared.agrees
    assert "DIFFERS on the same kind of machine: found " in compared.text


@pytest.mark.parametrize(
    ("elsewhere", "found", "agrees"),
    [
        ((), 100.0, False),
        (("the CPU A (here B)",), 101.0, True),
        (("the CPU A (here B)",), 96.9, False),
        (("the CPU A (here B)",), None, False),
    ],
)
def test_on_another_machine_a_cell_is_held_to_its_spread(
    elsewhere: tuple[str, ...], found: float | None, agrees: bool
) -> None:
    again = rerun.Again("a cell", elsewhere, exact=False, found=found, committed=100.0, spread=3.0)
    assert again.agrees == agrees
    assert again.to_json()["agrees"] == agrees


def cells_of(path: Path, found: reruns.Rerun, out: Path) -> tuple[Planned, ...]:
    return rerun._cells(submission.read(path), load_suite("TESTING"), found.record.seeds, out, rerun.Machine())


def test_a_table_of_another_submission_is_not_checked(root: Path, submitted: Submission, tmp_path: Path) -> None:
    other = submission.read(changed(submitted, tmp_path / "mine", url="https://example.org/other"))
    found = reruns.read(reruns.file_of(root / "submissions/TESTING/mine"))
    with pytest.raises(LagbenchError, match="the table is not of this submission"):
        rerun.again(other, found, tmp_path)
    seeds = msgspec.structs.replace(found.record, seeds=(DRAWN,))
    with pytest.raises(LagbenchError, match="or its seeds are not those that its beacon gives"):
        rerun.again(submitted, reruns.Rerun(seeds, found.table), tmp_path)


def test_seeds_are_nobodys_choice(submitted: Submission) -> None:
    """Worked out by hand: 2³² + SHA-256("lagbench rerun <submission> <value> <i>"), 8 bytes, modulo 2⁶³ − 2³²."""
    one, two = Beacon(value="1", name=None), Beacon(value="2", name=None)
    assert rerun.seeds("a" * 64, one, 3)[:2] == rerun.seeds("a" * 64, one, 2)
    assert len({*rerun.seeds("a" * 64, one, 3), *rerun.seeds("a" * 64, two, 3), *rerun.seeds("b" * 64, one, 3)}) == 9


def test_a_beacon_that_is_drawn_is_kept_and_marked(submitted: Submission, tmp_path: Path) -> None:
    kept = Sandbox(None, ())
    first = rerun.plan(submitted, tmp_path, kept=kept)
    assert first.record.beacon.name is None
    assert len(first.record.beacon.value) == 64
    assert rerun.plan(submitted, tmp_path, kept=kept).record == first.record
    assert (len(first.cells), first.record.is_whole) == (8, True)
    with pytest.raises(UsageError, match="another value of the sandbox"):
        rerun.plan(submitted, tmp_path, kept=Sandbox("bubblewrap 0.8.0"))
    with pytest.raises(UsageError, match=re.escape("--cells must be a share of the suite in [0.2, 1], not 0.1")):
        rerun.plan(submitted, tmp_path / "other", kept=kept, share=0.1)


def test_what_is_claimed_decides_nothing(submitted: Submission, tmp_path: Path) -> None:
    """Returns, lags and threads of the authors' own: a plan has the suite's cells, from the source."""
    best = tuple(msgspec.structs.replace(cell, returns=(1e5, 1e5, 1e5)) for cell in submitted.claim.cells)
    claim = {"cells": best, "torch_threads": 7, "device": "cuda"}
    forged = submission.read(changed(submitted, tmp_path / "mine", claim=claim))
    planned = rerun.plan(forged, tmp_path / "out", kept=Sandbox(None, ()))
    specs = [cell.spec for cell in planned.cells]
    assert {(spec.device, spec.torch_threads) for spec in specs} == {("cpu", 1)}
    assert sorted((spec.task, spec.protocol.lag) for spec in specs) == sorted(
        (cell.task, cell.protocol.lag) for cell in planned.suite.cells()
    )
    assert {spec.algorithm.source for spec in specs} == {submitted.source.sha256}
    assert not {spec.seed for spec in specs} & {*rerun.seeds(submitted.sha256, planned.record.beacon, 2)}


OVERWRITES = """
    def end_phase(self, metrics):
        import sys
        frame = sys._getframe()
        while "collector" not in frame.f_locals:
            frame = frame.f_back
        for version in frame.f_locals["collector"]._buffer:
            for name, tensor in self.policy.acting_state().items():
                version.state[name].copy_(tensor)
"""


def hostile(submitted: Submission, tmp_path: Path, program: str) -> rerun.Plan:
    """The plan of a submission whose source is another."""
    beside = submitted.source.files if program.startswith(METHOD) else {}
    source = Source("mine.py", {**beside, "mine.py": program.encode()})
    found = submission.read(changed(submitted, tmp_path / "mine", source=source))
    return rerun.plan(found, tmp_path / "out", kept=sandbox.choose(), share=0.5)


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import os; os._exit(0)", "it ended without a result"),
        ("import nothing_here", "No module named 'nothing_here'"),
        (
            METHOD + "\n    def end_phase(self, metrics):\n        import os\n        os.symlink('/etc/passwd', 'x')\n",
            "the run had written x, which is not a regular file; it was deleted",
        ),
        (
            METHOD + OVERWRITES,
            "policy version 0 has changed since it entered the buffer",
        ),
    ],
    ids=["exits", "imports", "links", "overwrites"],
)
def test_a_source_that_trains_nothing_has_no_table(
    submitted: Submission, tmp_path: Path, program: str, told: str
) -> None:
    kept = sandbox.choose()
    planned = hostile(submitted, tmp_path, program)
    executor = make_executor(None, 1, 1, rerun.Cell(kept, Limits(seconds=120)))
    outcomes = run_grid(planned.cells[1:2], executor=executor)  # at lag 2
    with pytest.raises(LagbenchError, match="1 of 1 cells have no result") as raised:
        rerun.table(planned, outcomes, kept)
    assert told in str(raised.value)
    assert str(raised.value).isprintable()
