"""A sweep on a Ray cluster of a head and two machines, which are processes of this one; one of them is killed."""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lagbench.runner import execute
from lagbench.sweep.grid import plan
from tests.cli.processes import until
from tests.cli.run_here import content_hash, lagbench
from tests.source.trees import TREE, lay_out

pytest.importorskip("ray")

BIN = Path(sysconfig.get_path("scripts"))
QUICK = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
}
OPTIONS = ("--block", "--disable-usage-stats", "--object-store-memory", "80000000")


@dataclasses.dataclass
class Cluster:
    address: str
    machines: list[psutil.Process]


def processes(root: psutil.Process) -> list[psutil.Process]:
    """A process and all that came from it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [root, *root.children(recursive=True)]
    return []


@contextlib.contextmanager
def ray_start(log: Path, *arguments: str) -> Iterator[psutil.Process]:
    """``ray start``; all that it has started is killed at the end."""
    with log.open("w") as out:
        # What its workers leave when they are killed lies beside the log.
        environment = {**os.environ, **QUICK, "TMPDIR": str(log.parent)}
        command: list[Path | str] = [BIN / "ray", "start", *OPTIONS, *arguments]
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)
    root = psutil.Process(process.pid)
    try:
        yield root
    finally:
        kill(root)
        process.wait()


def started(stack: contextlib.ExitStack, log: Path, *arguments: str) -> psutil.Process:
    """``ray start`` for as long as the stack lasts, once it is up: on a busy machine not at the first try."""
    for _ in range(5):
        root = stack.enter_context(ray_start(log, *arguments))
        if is_up(root, log):
            return root
    raise AssertionError(log.read_text())


def is_up(root: psutil.Process, log: Path) -> bool:
    """Whether it comes up; it gives up after half a minute."""
    until(lambda: "will now block" in log.read_text() or root.status() == psutil.STATUS_ZOMBIE, 300)
    return bool(root.status() != psutil.STATUS_ZOMBIE)


def kill(machine: psutil.Process) -> None:
    """All at once, as when its power is cut."""
    found = processes(machine)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(found, timeout=30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    logs = tmp_path_factory.mktemp("ray")
    # Sockets lie there, and their paths must be short.
    port, scratch = free_port(), f"/tmp/lagbench-ray-{os.getpid()}"
    address = f"127.0.0.1:{port}"
    head = ("--head", "--port", str(port), "--num-cpus", "0", "--include-dashboard", "false", "--temp-dir", scratch)
    with contextlib.ExitStack() as stack:
        stack.callback(subprocess.run, ["rm", "-rf", scratch])
        started(stack, logs / "head", *head)
        # One after the other, to be quick enough for that half minute.
        machine = ("--address", address, "--num-cpus", "1")
        machines = [started(stack, logs / f"machine-{n}", *machine) for n in range(2)]
        yield Cluster(address, machines)


def free_port() -> int:
    """Below those that Ray gives to its workers."""
    for port in range(6379, 9000):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


GRID = ("--actors", "4", "--phase-steps", "16", "--minibatch", "32", "--budget",
        "9600", "--eval-episodes", "1", "--lag", "2", "--seeds", "0-1", "-o", "out")  # fmt: skip


TASKS = """
from lagbench.tasks.mujoco import task

def pendulum(task_id, **options):
    return task("InvertedPendulum-v5", **options)
"""


@pytest.mark.slow
def test_a_machine_that_dies_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    # Neither file is where the machines work.
    lay_out(tmp_path, TREE)
    (tmp_path / "tasks.py").write_text(TASKS)
    own = ("--algo", "mine.py:Mine", "--task", "tasks.py:pendulum")
    command: list[Path | str] = [BIN / "lagbench", "sweep", *own, *GRID, "--ray", cluster.address]
    cells = tmp_path / "out/pendulum/Mine"
    with (tmp_path / "out.txt").open("w") as out, (tmp_path / "err.txt").open("w") as err:
        sweep = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=err)
    try:
        # Both machines have a cell, and something of it was collected.
        until(lambda: sum(1 for _ in cells.glob("*/checkpoint/state.pt")) >= 2 or sweep.poll() is not None, 300)
        assert sweep.poll() is None, (tmp_path / "err.txt").read_text()
        kill(cluster.machines[0])
        # Nobody takes these any more.
        lay_out(tmp_path, {"helper.py": TREE["helper.py"].replace("+", "-"), "mine.py": "1 / 0"})
        assert sweep.wait(300) == 0, (tmp_path / "err.txt").read_text()
    finally:
        sweep.kill()
        sweep.wait()
    assert (tmp_path / "out.txt").read_text() == "2 cells: 2 completed\n"
    runs = sorted(cells.iterdir())
    assert [run.name for run in runs] == [f"lag2-u20-seed{seed}" for seed in range(2)]
    starts = [len(json.loads((run / "environment.json").read_text())) for run in runs]
    assert sorted(starts) == [1, 2]
    assert {(run / "source/helper.py").read_text() for run in runs} == {TREE["helper.py"]}
    with contextlib.chdir(lay_out(tmp_path, TREE)):
        planned = plan(
            Path("alone"), algo=["mine.py:Mine"], task=["tasks.py:pendulum"], lag=[2], seeds=range(2), actors=4,
            phase_steps=16, minibatch=32, budget=9600, eval_episodes=1, record="episodes",
        )  # fmt: skip
        for run, cell in zip(runs, planned, strict=True):
            assert content_hash(run) == content_hash(execute(cell.spec, cell.path, threads=1).path)
            assert (run / "spec.json").read_bytes() == (cell.path / "spec.json").read_bytes()


def test_where_there_is_no_cluster_it_is_said(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    done = lagbench("sweep", "--algo", "ppo", *GRID[:-1], tmp_path / "out", "--ray", address)
    assert done.code == 2
    assert done.sentence.startswith(f"Error: there is no Ray cluster at {address} (")
    assert done.sentence.endswith("; start one with: ray start --head")
    assert not (tmp_path / "out").exists()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "lagbench.sweep.ray_cluster", raising=False)
    done = lagbench("sweep", "--algo", "ppo", "--ray", "auto")
    assert (done.code, done.sentence) == (2, "Error: --ray needs an extra: pip install 'lagbench[ray]'")
