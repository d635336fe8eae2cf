"""Cells in processes: whatever becomes of one, the sweep hears of it, and nothing is left running."""

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lagbench.sweep import claims, processes
from lagbench.sweep.cells import Planned, look
from lagbench.sweep.executor import Ended
from lagbench.sweep.processes import Processes
from lagbench.sweep.worker import log_file
from tests.cli.processes import CONTEXT, until
from tests.cli.run_here import ALGORITHMS, content_hash
from tests.source.trees import TREE, lay_out
from tests.sweep.conftest import fork_workers, small

MORE = """
import os, signal

class Segfault(Late):
    def happen(self, loss, batch):
        os.kill(os.getpid(), signal.SIGSEGV)
        return loss

class Exit(Late):
    def happen(self, loss, batch):
        os._exit(3)

class Full(Late):
    def happen(self, loss, batch):
        raise MemoryError from OSError(28, "No space left on device")
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(ALGORITHMS + MORE)
    return str(tmp_path / "mine.py")


@contextlib.contextmanager
def executor(jobs: int = 1) -> Iterator[Processes]:
    executor = Processes(jobs)
    try:
        yield executor
    finally:
        executor.close()


def run(cell: Planned) -> tuple[list[int], Ended]:
    """The phases that were told of, and the end."""
    with executor() as pool:
        pool.start(cell)
        return follow(pool, cell)


def follow(pool: Processes, cell: Planned) -> tuple[list[int], Ended]:
    phases: list[int] = []
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for event in pool.wait(1.0):
            assert event.cell is cell
            if isinstance(event, Ended):
                return phases, event
            phases.append(event.phases)
    raise AssertionError("it never ended")


def test_a_cell_is_run_to_its_end(finished: Planned, tmp_path: Path) -> None:
    (cell,) = small(tmp_path)
    phases, end = run(cell)
    assert end == Ended(cell)
    assert phases[0] == 0
    assert phases == sorted(phases)
    assert content_hash(cell.path) == content_hash(finished.path)
    # Neither claims nor an empty log are left.
    assert list(cell.path.parent.iterdir()) == [cell.path]


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 8)
    shares = {jobs: Processes(jobs)._threads for jobs in (1, 3, 8, 100)}
    assert shares == {1: 8, 3: 2, 8: 1, 100: 1}
    assert Processes().slots == 8
    assert Processes(2, threads=3)._threads == 3


@pytest.mark.parametrize(
    ("name", "says", "log"),
    [
        ("Segfault", "its process was killed by SIGSEGV; see ", "Segmentation fault"),
        ("Exit", "its process ended with exit code 3", ""),
    ],
)
def test_a_cell_that_crashes_says_how(mine: str, tmp_path: Path, name: str, says: str, log: str) -> None:
    (cell,) = small(tmp_path / "out", algo=f"{mine}:{name}")
    _, end = run(cell)
    assert end.reason.startswith(says)
    assert not end.is_general
    assert look(cell).status == "unfinished"
    printed = log_file(cell.path).read_text() if log_file(cell.path).exists() else ""
    assert log in printed
    # It can be taken up at once.
    assert claims.holder(cell.path) is None


def test_a_cell_is_of_the_source_that_was_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever becomes of the files meanwhile: two cells with helpers of one name, of files that are gone."""
    cells = []
    for sign in "+-":
        there = lay_out(tmp_path / f"sign{sign}", {**TREE, "helper.py": TREE["helper.py"].replace("+", sign)})
        monkeypatch.chdir(there)
        cells += small(tmp_path / f"out{sign}", algo="mine.py:Mine")
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(there)
    for cell in cells:
        assert run(cell)[1] == Ended(cell)
    found = [(cell.path / "source/helper.py").read_text() for cell in cells]
    assert [text.count("-1.0") for text in found] == [0, 1]
    assert content_hash(cells[0].path) != content_hash(cells[1].path)


def test_what_an_algorithm_prints_is_kept(mine: str, tmp_path: Path) -> None:
    (cell,) = small(tmp_path / "out", algo=f"{mine}:Chatty")
    assert run(cell)[1] == Ended(cell)
    assert set(log_file(cell.path).read_text().splitlines()) == {"a debugging print"}


def test_a_full_disk_would_stop_every_cell(mine: str, tmp_path: Path) -> None:
    (cell,) = small(tmp_path / "out", algo=f"{mine}:Full")
    _, end = run(cell)
    assert end.is_general


def test_somebody_elses_cell_is_left_to_him(tmp_path: Path) -> None:
    (cell,) = small(tmp_path)
    assert claims.take(cell.path)
    assert run(cell) == ([], Ended(cell, elsewhere=True))
    assert not cell.path.exists()


LONG: dict[str, Any] = {"budget": 64_000}


def under_way(pool: Processes, cell: Planned) -> int:
    """Start it, and wait until a phase is done; the process that runs it."""
    pool.start(cell)
    until((cell.path / "checkpoint/state.pt").exists, 300)
    by = claims.holder(cell.path)
    assert by is not None
    return by.pid


def test_closed_it_leaves_nothing_running(tmp_path: Path) -> None:
    (cell,) = small(tmp_path, **LONG)
    with executor() as pool:
        pid = under_way(pool, cell)
    assert not psutil.pid_exists(pid)
    assert look(cell).status == "unfinished"


def test_killed_it_is_heard_of(tmp_path: Path) -> None:
    (cell,) = small(tmp_path, **LONG)
    with executor() as pool:
        os.kill(under_way(pool, cell), signal.SIGKILL)
        _, end = follow(pool, cell)
    assert end.reason == "its process was killed by SIGKILL, possibly out of memory"
    assert claims.holder(cell.path) is None


def test_it_ends_where_another_took_its_cell_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cell,) = small(tmp_path, **LONG)
    process = CONTEXT.Process(target=_beat_fast, args=(tmp_path,))
    process.start()
    until((cell.path / "checkpoint/state.pt").exists, 300)
    cell.path.with_name(f"{cell.path.name}.claim-2").touch()
    process.join(300)
    assert process.exitcode == 0


def _beat_fast(out: Path) -> None:
    """In a process, for the sake of its signals: a worker's part, with a quick heart."""
    from lagbench.sweep import worker

    claims.BEAT_S = 0.05
    (cell,) = small(out, **LONG)
    ours, theirs = CONTEXT.Pipe(duplex=False)
    worker.main(theirs, cell.spec.to_json(), [], cell.path, 1)
    said = []
    while ours.poll():
        said.append(ours.recv())
    assert said[-1] == worker.End(elsewhere=True)


def test_it_ends_where_its_sweep_is_gone(tmp_path: Path) -> None:
    (cell,) = small(tmp_path, **LONG)
    sweep = CONTEXT.Process(target=_start, args=(tmp_path,))
    sweep.start()
    until((cell.path / "checkpoint/state.pt").exists, 300)
    by = claims.holder(cell.path)
    assert by is not None
    assert sweep.pid is not None
    os.kill(sweep.pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(by.pid), 300)
    assert claims.holder(cell.path) is None
    assert look(cell).status == "unfinished"
    sweep.join()


def _start(out: Path) -> None:
    fork_workers()
    pool = Processes(1)
    (cell,) = small(out, **LONG)
    pool.start(cell)
    while True:
        pool.wait(1.0)
