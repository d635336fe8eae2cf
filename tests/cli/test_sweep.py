"""``lagbench sweep``: what it prints, what it refuses, and what becomes of a grid that many processes share."""

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lagbench import suites
from lagbench.records.reader import open_run
from lagbench.runner import execute
from lagbench.sweep import claims
from lagbench.sweep.grid import plan
from tests.cli import test_disk
from tests.cli.processes import Child, started, until
from tests.cli.run_here import SMALL, content_hash, entries, lagbench
from tests.sweep.conftest import fork_workers

PENDULUM = ("--task", "InvertedPendulum-v5", *SMALL)
CELL = "InvertedPendulum-v5/{}/lag{}-u20-seed{}"


def beside_runs(out: Path) -> list[str]:
    """Claims, logs and the like."""
    return sorted(str(f.relative_to(out)) for f in out.glob("*/*/*") if not f.is_dir())


def test_a_grid_is_run_and_then_left_alone(here: Path) -> None:
    arguments = ("sweep", "--algo", "ppo,mine.py:Mine", "--lag", "0", "--lag", "2", *PENDULUM, "-o", "out", "-j", "2")
    done = lagbench(*arguments)
    assert (done.code, done.out) == (0, "4 cells: 4 completed\n")
    first, *lines = done.err.splitlines()
    assert first == "4 cells, 4 to run (about 6 s on one core), 2 at a time, in out"
    assert sorted(line.partition("] ")[2].split("  ")[1] for line in lines) == [
        CELL.format(algo, lag, 0) for algo in ("Mine", "ppo") for lag in (0, 2)
    ]
    run = open_run(here / "out" / CELL.format("ppo", 2, 0))
    assert run.spec == suites.resolve(
        algo="ppo", task="InvertedPendulum-v5", lag=2, actors=4, phase_steps=16, minibatch=32, budget=320,
        eval_episodes=1, record="episodes",
    )  # fmt: skip
    alone = execute(run.spec, here / "alone", threads=1)
    assert content_hash(run.path) == content_hash(alone.path)
    again = lagbench(*arguments)
    assert (again.code, again.out, again.err) == (0, done.out, "4 cells, 0 to run, 2 at a time, in out\n")
    assert entries(run.path) == 1
    assert beside_runs(here / "out") == []
    # More of an axis is only what is missing.
    more = lagbench(*arguments, "--lag", "4", "--algo", "ppo", "--json")
    assert more.code == 0
    assert more.json["counts"] == {"completed": 6}
    assert entries(run.path) == 1
    # From a table of them nothing is run again, and what it has not is.
    assert (
        lagbench("score", "out/InvertedPendulum-v5/ppo", "out/InvertedPendulum-v5/Mine", "--table", "t.arrow").code == 0
    )
    fresh = ("sweep", "--algo", "ppo,mine.py:Mine", "--lag", "0,2", *PENDULUM, "-o", "fresh", "--results", "t.arrow")
    listed = lagbench(*fresh, "--seeds", "0,1", "--dry-run", "--json").json
    assert [(cell["seed"], cell["status"]) for cell in listed["cells"]] == [(0, "completed")] * 4 + [(1, "missing")] * 4
    assert [cell["final_return"] for cell in listed["cells"][:4]] == [
        cell["final_return"] for cell in more.json["cells"] if cell["lag"] < 4
    ]
    (here / "mine.py").write_text((here / "mine.py").read_text().replace("class Mine(", "FACTOR = 2\n\n\nclass Mine("))
    assert lagbench(*fresh, "-q").out == "4 cells: 4 completed\n"
    assert sorted(path.parent.name for path in (here / "fresh").glob("*/*/lag*")) == ["Mine", "Mine"]


def test_failures_are_listed_and_stop_nothing(here: Path) -> None:
    algorithms = "mine.py:Forgetful,mine.py:Nan,mine.py:OutOfMemory,mine.py:Mine"
    arguments = ("sweep", "--algo", algorithms, *PENDULUM, "-o", "out")
    done = lagbench(*arguments, "-q")
    assert (done.code, done.err) == (1, "")
    failed, diverged, crashed, hint, summary = done.out.splitlines()
    assert failed.startswith(f"failed: out/{CELL.format('Forgetful', 0, 0)}: AlgorithmError: ")
    assert diverged.startswith(f"diverged: out/{CELL.format('Nan', 0, 0)}: diverged in phase 2, update ")
    assert crashed == f"crashed: out/{CELL.format('OutOfMemory', 0, 0)}: MemoryError: too much"
    assert hint == "a run recorded as failed is not tried again as long as its directory exists"
    assert summary == "4 cells: 1 completed, 1 diverged, 1 failed, 1 crashed"
    again = lagbench(*arguments, "--json")
    assert again.code == 1
    assert [cell["status"] for cell in again.json["cells"]] == ["failed", "diverged", "crashed", "completed"]
    runs = [Path(cell["path"]) for cell in again.json["cells"]]
    # Only what left no record was tried again.
    assert [entries(run) for run in runs] == [1, 1, 2, 1]
    # Divergence alone is no failure.
    assert lagbench("sweep", "--algo", "mine.py:Nan,mine.py:Mine", *PENDULUM, "-o", "out", "-q").code == 0


def test_hyperparameters_are_swept(here: Path) -> None:
    arguments = ("--algo", "vaco", "--set", "delta=0.1,0.2", "--set", "filter=no", *PENDULUM, "--seeds", "0-1,5")
    done = lagbench("sweep", *arguments, "--dry-run", "--json")
    assert done.code == 0
    assert [cell["path"] for cell in done.json["cells"]] == [
        f"runs/sweep/InvertedPendulum-v5/vaco/delta={delta},filter=false/lag0-u20-seed{seed}"
        for seed in (0, 1, 5)
        for delta in (0.1, 0.2)
    ]
    assert list(here.glob("runs")) == []


def test_a_dry_run_lists_cells_and_hours(here: Path) -> None:
    done = lagbench("sweep", "--suite", "mujoco-mini-v1", "--algo", "ppo", "--dry-run")
    assert (done.code, done.err) == (0, "")
    *lines, last = done.out.splitlines()
    assert len(lines) == 45
    # By the name of its runs, among which those of the larger suite will lie.
    assert lines[0].startswith("runs/mujoco-1m-v1/Hopper-v5/ppo/lag0-u80-seed0")
    assert all(re.search(r"  missing  (\d+ min )?\d+ s$", line) for line in lines)
    assert re.fullmatch(r"45 of 45 cells to run, about \d h \d\d min on one core", last)
    assert lagbench("sweep", "--algo", "ppo", *PENDULUM, "--seeds", "0-1", "-o", "out", "-q").code == 0
    done = lagbench("sweep", "--algo", "ppo", *PENDULUM, "--seeds", "1-2", "-o", "out", "--dry-run")
    assert [line.split()[1] for line in done.out.splitlines()[:2]] == ["completed", "missing"]
    assert done.out.splitlines()[-1].startswith("1 of 2 cells to run")


def test_commands_are_printed_for_what_is_left(here: Path) -> None:
    arguments = ("sweep", "--suite", "TESTING", "--algo", "ppo", "--task", "InvertedPendulum-v5", "--seeds", "0")
    done = lagbench(*arguments, "-o", "my runs", "--print-commands")
    assert done.out.splitlines() == [
        "lagbench run --record episodes --suite TESTING --seed 0 --task InvertedPendulum-v5 --algo ppo "
        f"--lag {lag} --out 'my runs/InvertedPendulum-v5/ppo/lag{lag}-u8-seed0'"
        for lag in (0, 2)
    ]
    assert lagbench(*arguments, "-o", "my runs", "-q").code == 0
    done = lagbench(*arguments, "-o", "my runs", "--print-commands")
    assert (done.code, done.sentence) == (0, "nothing is left to run; 2 cells: 2 completed")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "a sweep needs an algorithm: give --algo, such as --algo ppo,vaco"),
        (("--suite", "TESTING", "--algo", "ppo", "--lag", "5"), "TESTING has no lag 5; choose one of: 0, 2"),
        (
            ("--suite", "gsm8k-mini-v1", "--algo", "ppo", "--actors", "1"),
            "is not in gsm8k-mini-v1: protocol.actors is 1, was 2",
        ),
        (
            ("--suite", "TESTING", "--suite", "mujoco-mini-v0", "--algo", "ppo"),
            "--suite was given 2 times; give it once",
        ),
        (("--algo", "ppo", "--seeds", "4-0"), "'4-0' is not a range: 0 is less than 4"),
        (("--algo", "ppo", "--seeds", "all"), "'all' is not a whole number"),
        (("--algo", "ppo", "--seeds", "0-1e18"), "'0-1e18' is 1,000,000,000,000,000,001 seeds; a range has at most"),
        (("--algo", "ppo,"), "'ppo,' is not a list such as a,b,c"),
        (("--algo", "ppo", "--set", "clip=0.1,"), "--set clip=0.1, is not a list such as clip=0.1,0.2"),
        (("--algo", "ppo", "-j", "0"), "0 is not in the range"),
    ],
)
def test_what_cannot_be_swept_is_said_in_a_sentence(here: Path, arguments: tuple[str, ...], says: str) -> None:
    done = lagbench("sweep", *arguments)
    assert done.code == 2
    assert says in done.sentence
    assert list(here.glob("runs")) == []


def test_a_directory_that_cannot_be_written_is_told_once(here: Path) -> None:
    Path("file").touch()
    done = lagbench("sweep", "--algo", "ppo", "--seeds", "0-3", *PENDULUM, "-o", "file/out")
    assert done.code == 1
    assert done.sentence.startswith("Error: cannot write file/out (Not a directory); ")


def test_two_sweeps_of_different_specs_do_not_share_a_directory(here: Path) -> None:
    arguments = ("sweep", "--algo", "ppo", *PENDULUM, "-o", "out", "-q")
    assert lagbench(*arguments).code == 0
    done = lagbench(*(x if x != "320" else "640" for x in arguments), "--seeds", "0-3")
    assert done.code == 2
    assert done.sentence == (
        f"Error: out/{CELL.format('ppo', 0, 0)} holds another run: budget is 640, was 320; sweep into another "
        "directory with --out, or move it away"
    )
    assert sorted(p.name for p in here.glob("out/*/*/*")) == ["lag0-u20-seed0"]


def test_a_directory_of_another_version_stops_nothing(here: Path) -> None:
    arguments = ("sweep", "--algo", "ppo", *PENDULUM, "--seeds", "0-1", "-o", "out", "-q")
    path = here / "out" / CELL.format("ppo", 0, 0)
    path.mkdir(parents=True)
    (path / "spec.json").write_text('{"format_version": 7, "task": "Hopper-v9"}')
    done = lagbench(*arguments)
    assert done.code == 1
    assert done.out.splitlines() == [
        f"unusable: out/{CELL.format('ppo', 0, 0)}: the specification has format 7; this lagbench reads up to 2: "
        f"install a newer one (pip install -U lagbench); move out/{CELL.format('ppo', 0, 0)} away to run it again",
        "2 cells: 1 completed, 1 unusable",
    ]
    assert [f.name for f in path.iterdir()] == ["spec.json"]


LONG = ("--task", "InvertedPendulum-v5", *SMALL[:-4], "--budget", "64k", "--eval-episodes", "1")


def test_a_signal_ends_a_sweep_so_that_it_goes_on(here: Path) -> None:
    arguments = ("sweep", "--algo", "ppo", *LONG, "--seeds", "0-2", "-o", "my out", "-j", "1")
    path = here / "my out" / CELL.format("ppo", 0, 0)
    with started(here, *arguments) as child:
        until((path / "checkpoint/state.pt").exists, 300)
        child.signal(signal.SIGINT)
        assert child.wait(300) == 130
    assert child.out == "3 cells: 1 unfinished, 2 missing\n"
    assert "stopping at the end of each phase; Ctrl-C again to stop at once" in child.err.splitlines()
    assert child.err.splitlines()[-1] == (
        "interrupted after 0 of 3 cells; resume with: lagbench " + " ".join(arguments).replace("my out", "'my out'")
    )
    assert open_run(path).status == "unfinished"
    assert claims.holder(path) is None


disk = test_disk.disk


def test_a_full_disk_ends_a_sweep(here: Path, disk: test_disk.Disk) -> None:
    """At once and with one sentence, not with as many as there are cells; with room again, it goes on."""
    if not disk.mounted:
        pytest.skip("no small file system can be mounted here")
    arguments = ("sweep", "--algo", "ppo", *PENDULUM, "--seeds", "0-2", "-o", "disk/out", "-j", "1")
    with contextlib.suppress(OSError):
        (disk.directory / "filler").write_bytes(bytes(4 << 20))
    done = lagbench(*arguments, "-q")
    assert done.code == 1
    (sentence,) = done.err.splitlines()
    assert sentence.startswith("Error: no cell can continue: cannot write disk/out/InvertedPendulum-v5/ppo")
    assert "(No space left on device); free some space on that disk, then " in sentence
    assert sentence.endswith(f"; resume with: lagbench {' '.join(arguments)} -q")
    *failed, summary = done.out.splitlines()
    assert len(failed) == 1
    assert summary == "3 cells: 1 crashed, 2 missing"
    (disk.directory / "filler").unlink()
    assert lagbench(*arguments, "-q").code == 0


GRID = ("sweep", "--suite", "TESTING", "--algo", "ppo", "-j", "1", "-o")


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The content hashes of its cells, each run alone."""
    out = tmp_path_factory.mktemp("alone")
    hashes = {}
    for cell in plan(out, suite="TESTING", algo="ppo", record="episodes"):
        hashes[str(cell.path.relative_to(out))] = content_hash(execute(cell.spec, cell.path, threads=1).path)
    return hashes


def check_done(out: Path, references: dict[str, Any], cut_off: set[str]) -> None:
    """Every cell is as if run alone; and each was begun once, but for those that were cut off."""
    assert {name: content_hash(out / name) for name in references} == references
    again = {name for name in references if entries(out / name) > 1}
    assert again <= cut_off
    assert beside_runs(out) == []


@contextlib.contextmanager
def sweeps(here: Path, names: str) -> Iterator[list[Child]]:
    """One sweep a letter, each in a directory of its own, on one grid."""
    with contextlib.ExitStack() as stack:
        children = []
        for name in names:
            (here / name).mkdir()
            children.append(stack.enter_context(started(here / name, *GRID, str(here / "out"), prepare=fork_workers)))
        yield children


def test_sweeps_side_by_side_divide_the_cells(here: Path, references: dict[str, Any]) -> None:
    with sweeps(here, "abc") as children:
        for child in children:
            assert child.wait(300) == 0, child.err
            assert child.out == "8 cells: 8 completed\n"
    check_done(here / "out", references, cut_off=set())
    # Each says how long those took that it ran itself: all of them together, and none did all.
    own = [len(re.findall(r"  \d+ s$", child.err, re.MULTILINE)) for child in children]
    assert sum(own) == 8
    assert max(own) < 8


def test_sweeps_that_are_killed_lose_nothing(here: Path, references: dict[str, Any]) -> None:
    """Two of three with SIGKILL in the midst of a cell, one of them with its worker; then another is started."""
    out = here / "out"
    cut_off = set()
    with sweeps(here, "abc") as (first, second, third):
        for child in (first, second):
            name, worker = running(out, child)
            cut_off.add(name)
            if child is second:
                worker.kill()
            child.signal(signal.SIGKILL)
            assert child.wait(300) == -signal.SIGKILL
        with sweeps(here, "d") as (fourth,):
            for child in (third, fourth):
                assert child.wait(300) == 0, child.err
    check_done(out, references, cut_off)


def running(out: Path, child: Child) -> tuple[str, psutil.Process]:
    """A cell that a sweep's worker has a phase or more of, and the worker."""
    found: list[tuple[str, psutil.Process]] = []

    def look() -> bool:
        for process in psutil.Process(child.process.pid).children():
            for file in out.rglob("checkpoint/state.pt"):
                cell = file.parents[1]
                holder = claims.holder(cell)
                if holder and holder.pid == process.pid and not (cell / "result.json").exists():
                    found.append((str(cell.relative_to(out)), process))
        return bool(found)

    until(look, 300)
    return found[0]
