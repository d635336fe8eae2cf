"""A method is trained again from its source, in the sandbox: real runs of TESTING."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import msgspec
import pyarrow as pa
import pytest

from lagbench import LagbenchError, Source, UsageError, load_suite, make_executor, run_grid, scoring
from lagbench.leaderboard import published, rerun, reruns, sandbox, submission
from lagbench.leaderboard.reruns import Beacon
from lagbench.leaderboard.sandbox import Limits, Sandbox
from lagbench.leaderboard.site import text
from lagbench.leaderboard.submission import Submission
from lagbench.seeding import DRAWN
from lagbench.tasks.gsm8k.data import MINI_DIRECTORY
from lagbench.tasks.spec import load_task
from tests.cli.run_here import lagbench
from tests.leaderboard import made
from tests.leaderboard.conftest import METHOD
from tests.leaderboard.test_validate import changed

BEACON = ("--beacon", "5a" * 32, "--beacon-name", "drand quicknet, round 5")


LINE = ("leaderboard", "rerun", "submissions/TESTING/plain", "-o", "runs", "-j", "2", "-q")
SAID = ("--name", "Plain clipping", "--author", "A. Body", "--url", "https://example.org/x", "--license", "MIT")


def test_a_baseline_from_its_runs_to_its_rank(
    ppo: Path, referenced: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Submit, validate, rerun in the sandbox, killed and gone on with, once more of one cell, build: as it is typed."""
    monkeypatch.chdir(tmp_path)
    path = Path("submissions/TESTING/plain")
    for line in (
        ("submit", ppo, *SAID, "--tuning", "None.", "--discarded", "None.", "-o", path),
        ("validate", path),
    ):
        done = lagbench("leaderboard", *line)
        assert done.code == 0, done.err
    found = submission.read(path)
    assert found.source.files.keys() == {"ppo.py"}
    killed_with_a_checkpoint([*LINE, *BEACON])
    assert not Path("reruns").exists()
    done = lagbench(*LINE, *BEACON)
    assert done.code == 0, done.err
    assert done.out.endswith("reruns/TESTING/plain.arrow\n")
    assert reruns.file_of(path).stat().st_size < 50_000
    made_of(found, reruns.read(reruns.file_of(path)))
    assert "and a method is rerun only once" in lagbench(*LINE).sentence
    assert "give both --beacon and --beacon-name" in lagbench(*LINE, "--beacon", "6b" * 32).sentence
    other = lagbench(*LINE, "--table", tmp_path / "x.arrow", "--beacon", "6b" * 32, "--beacon-name", "drand, round 6")
    assert "holds a rerun with another value of the beacon" in other.sentence
    checked_by_one_more_run(found, reruns.read(reruns.file_of(path)))
    ranked_by_its_rerun(found, monkeypatch)


def killed_with_a_checkpoint(line: Sequence[str]) -> None:
    command = [str(Path(sys.executable).with_name("lagbench")), *line]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not [*Path("runs/runs").glob("*/*/checkpoint/state.pt")]:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    process.kill()
    process.communicate()


def made_of(submitted: Submission, found: reruns.Rerun) -> None:
    """The table says of what it is."""
    record = found.record
    assert record.submission == submitted.sha256
    assert record.beacon == Beacon(value="5a" * 32, name="drand quicknet, round 5")
    assert record.seeds == rerun.seeds(submitted.sha256, record.beacon, 2)
    assert min(record.seeds) >= DRAWN
    assert (record.of, record.is_whole) == (2, True)
    assert record.sandbox is not None
    assert record.sandbox.startswith("bubblewrap ")
    rows = found.table.to_pylist(maps_as_pydicts=None)
    assert {(row["task"], row["lag"], row["seed"]) for row in rows} == {
        (task, lag, seed) for task in ("Hopper-v5", "InvertedPendulum-v5") for lag in (0, 2) for seed in record.seeds
    }
    for row in rows:
        assert row["algorithm"] == "plain"
        assert row["algorithm_source"] == submitted.manifest.algorithm.sha256
        assert json.loads(row["config"]) == dict(submitted.manifest.config)
        assert not Path(row["path"]).is_absolute()
        assert json.loads(row["spec"])["torch_threads"] == 1
    # Seeds that were drawn count as the suite's own.
    (line,) = scoring.score.score(found.table, suite="TESTING", replications=20).lines
    assert (line.runs, line.missing) == (8, ())


def checked_by_one_more_run(submitted: Submission, found: reruns.Rerun) -> None:
    done = lagbench(*LINE, "--again")
    assert done.code == 0, done.err
    assert re.fullmatch(r".*-v5, lag [02], 8 updates, seed \d+: the same, bit for bit\n", done.out)
    # The same run against a table that somebody edited.
    (trained,) = (file.parent.absolute() for file in Path("runs/again").glob("*/*/spec.json"))
    suite, seeds = load_suite("TESTING"), found.record.seeds
    every = rerun._cells(submitted, suite, seeds, Path("runs/again"), "cpu", 1)
    cells = tuple(one for one in every if one.path == trained)
    rows = [{**row, "content_hash": "0" * 64, "final": 1e5} for row in found.table.to_pylist(maps_as_pydicts=None)]
    edited = reruns.Rerun(found.record, pa.Table.from_pylist(rows, scoring.table.SCHEMA))
    planned = rerun.Plan(submitted, suite, found.record, Path("runs/again"), cells)
    compared = rerun.compare(planned, edited, sandbox.choose())
    assert not compared.agrees
    assert "DIFFERS on the same kind of machine: found " in compared.text


def ranked_by_its_rerun(submitted: Submission, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a board with a baseline that is surely better; its page has the claim beside the rerun."""
    monkeypatch.setattr(published, "DIRECTORY", made.publish(Path("made"), {"vaco": made.runs(1000.0)}))
    done = lagbench("leaderboard", "build", "-o", "site", "--submissions", "submissions", "--replications", "50")
    assert done.code == 0, done.err
    board = json.loads(Path("site/TESTING/results.json").read_text())
    assert [(row["key"], row["state"], row["rank"]) for row in board["rows"]] == [
        ("vaco.baseline", "baseline", 1),
        ("plain", "rerun", 2),
    ]
    page = " ".join(re.sub("<[^>]*>", " ", Path("site/TESTING/plain/index.html").read_text()).split())
    results = json.loads(Path("site/TESTING/plain/results.json").read_text())["results"]
    assert [line["label"] for line in results["lines"]] == ["rerun", "claim"]
    for cell in board["rows"][1]["agreement"]["cells"]:
        claimed = [c.returns[-1] for c in submitted.claim.cells if (c.task, c.lag) == (cell["task"], cell["value"])]
        assert cell["claimed"] == pytest.approx(sum(claimed) / 2)
        assert f"{text.number(cell['claimed'])} {text.number(cell['found'])}" in page


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


@pytest.mark.parametrize("change", [{"submission": "0" * 64}, {"seeds": (DRAWN, DRAWN + 1)}, {"of": 5}])
def test_a_table_of_another_submission_is_not_checked(
    submitted: Submission, tmp_path: Path, change: dict[str, Any]
) -> None:
    record = msgspec.structs.replace(rerun.plan(submitted, tmp_path, kept=Sandbox(None, ())).record, **change)
    with pytest.raises(LagbenchError, match="the table is not of this submission, or its seeds are not those that"):
        rerun.again(submitted, reruns.Rerun(record, None), tmp_path)


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


PAYS_ITSELF = """

import dataclasses
from lagbench.actors.control import ControlActors as Actors

def paid(play):
    def more(*args, **options):
        return [dataclasses.replace(one, reward=one.reward + 100) for one in play(*args, **options)]
    return more

Actors.play = paid(Actors.play)
"""
OF_ANOTHER_PHYSICS = """
    def end_phase(self, metrics):
        import json, pathlib
        from lagbench.records.checksums import sealed
        file = pathlib.Path("environment.json")
        entry = json.loads(file.read_text())[0]
        entry["packages"]["envpool"] = "9.9\\x1b[2J"
        file.write_text(json.dumps([sealed(entry)]))
"""


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (METHOD + PAYS_ITSELF, r": evaluation episodes: .*reward"),
        (METHOD + OF_ANOTHER_PHYSICS, r"are of envpool 9\.9\\x1b\[2J, not"),
    ],
    ids=["rewards", "physics"],
)
def test_runs_that_are_not_what_they_say_make_no_table(
    submitted: Submission, tmp_path: Path, program: str, told: str
) -> None:
    """Written by the source itself, with every hash right: they would rank, or stop every board."""
    kept = sandbox.choose()
    planned = hostile(submitted, tmp_path, program)
    outcomes = run_grid(planned.cells[1:2], executor=make_executor(None, 1, 1, rerun.Cell(kept, Limits(seconds=120))))
    assert [one.state.status for one in outcomes] == ["completed"]
    with pytest.raises(LagbenchError, match=told) as raised:
        rerun.table(planned, outcomes, kept)
    assert str(raised.value).isprintable()


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


READS_MODELS = """
import os, sys
from lagbench.policies import pretrained
for source in sys.argv[2:]:
    pretrained.find(source).model()
print(os.path.exists(sys.argv[1]))
try:
    open(os.path.join(sys.argv[2], "config.json"), "w")
except OSError as error:
    print(error.strerror)
"""


def test_models_of_ones_own_and_of_the_hubs_cache_are_there_to_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a cache as the hub's tools make it, whose files are links, and of which nothing else is there."""
    cache, commit = tmp_path / "home/hub", "c0ffee" * 6 + "abcd"
    snapshot = cache / f"models--a--model/snapshots/{commit}"
    snapshot.mkdir(parents=True)
    (cache / "models--a--model/blobs").mkdir()
    (cache / "models--a--model/refs").mkdir()
    (cache / "models--a--model/refs/main").write_text(commit)
    for i, file in enumerate(file for file in MINI_DIRECTORY.iterdir() if file.suffix != ".xz"):
        shutil.copy(file, blob := cache / f"models--a--model/blobs/{i}")
        (snapshot / file.name).symlink_to(Path("../../blobs", blob.name))
    (token := tmp_path / "home/token").write_text("secret")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    named = [load_task("GSM8kMini-v0", {"model": model}).outside() for model in (str(snapshot), "a/model")]
    assert named[1].paths == (cache / "models--a--model",)
    (own := tmp_path / "own").mkdir()
    with tempfile.TemporaryFile() as said:
        code = sandbox.run(
            sandbox.choose(),
            ["-c", READS_MODELS, str(token), str(snapshot), "a/model"],
            directory=own,
            readable=[path for one in named for path in one.paths],
            environment=named[1].environment,
            limits=Limits(),
            stdout=said,
            stderr=said,
        )
        said.seek(0)
        assert (code, said.read().decode()) == (0, "False\nRead-only file system\n")
