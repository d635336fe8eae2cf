"""How many cores and how much memory a process may use, where it may not use all."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lagbench import machine
from lagbench.records import environment
from lagbench.tasks.mujoco import EnvPoolVectorEnv, task

ROOT = Path(__file__).parents[1]


@pytest.fixture
def one_core() -> Iterator[None]:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no affinity on this system")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("one_core")
def test_a_job_of_one_core() -> None:
    assert machine.cores() == 1
    assert environment.here()["cores"] == 1
    # EnvPool itself would make a thread for every core of the machine.
    pools = [EnvPoolVectorEnv(task("Hopper-v5"), 3, threads=threads) for threads in (0, 1)]
    for env in pools:
        env.reset()
    assert len(pools[0]._pool_threads) == len(pools[1]._pool_threads)
    for env in pools:
        env.close()


@pytest.mark.parametrize(
    ("job", "step", "granted"),
    [
        ("max 100000", "max 100000", None),
        ("150000 100000", "max 100000", 1.5),
        ("150000 100000", None, 1.5),
        ("400000 100000", "50000 100000", 0.5),
    ],
)
def test_the_quota_of_a_control_group_and_of_those_above_it(
    job: str, step: str | None, granted: float | None, tmp_path: Path
) -> None:
    (tmp_path / "root/job/step").mkdir(parents=True)
    (tmp_path / "root/job/cpu.max").write_text(f"{job}\n")
    if step is not None:
        (tmp_path / "root/job/step/cpu.max").write_text(f"{step}\n")
    (tmp_path / "cgroup").write_text("2:cpu:/elsewhere\n0::/job/step\n")
    assert machine._quota(tmp_path / "cgroup", tmp_path / "root") == granted
    assert machine._quota(tmp_path / "nowhere", tmp_path / "root") is None


def test_the_memory_that_control_groups_leave(tmp_path: Path) -> None:
    """The least; what caches files and is not in use counts as free."""
    job = tmp_path / "root/job"
    (job / "step").mkdir(parents=True)
    (tmp_path / "cgroup").write_text("0::/job/step\n")
    groups = tmp_path / "cgroup", tmp_path / "root"
    assert machine._room(*groups) is None
    for place, (limit, used) in {job: ("1000", 900), job / "step": ("max", 10)}.items():
        (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text(f"{used}\n")
    assert machine._room(*groups) == 100
    (job / "memory.stat").write_text("anon 1\ninactive_file 50\n")
    assert machine._room(*groups) == 150
    (job / "step/memory.max").write_text("20\n")
    assert machine._room(*groups) == 10


def test_there_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < machine.memory() <= whole
    monkeypatch.setattr(machine, "_room", lambda own, root: 5)
    assert machine.memory() == 5


def test_part_of_a_core_counts_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_quota", lambda own, root: 0.5)
    assert machine.cores() == 1


def test_nothing_else_counts_cores() -> None:
    for place in ("lagbench", "leaderboard", "baselines", "benchmarks", "scripts"):
        for file in (ROOT / place).rglob("*.py"):
            if file != Path(machine.__file__):
                assert not re.search(r"cpu_count|sched_getaffinity", file.read_text(encoding="utf-8")), file
