"""Each example does what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lagbench
from lagbench import registry
from tests.cli.run_here import SMALL
from tests.cli.run_here import lagbench as command

EXAMPLES = Path(__file__).parents[2] / "examples"


def environment(**more: str) -> dict[str, str]:
    """Where ``lagbench`` is this one."""
    return os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])} | more


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.sh")), ids=lambda path: path.name)
def test_a_script_is_bash(script: Path) -> None:
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize("name", ["pendulum", "car"])
def test_a_task_of_ones_own(tmp_path: Path, name: str) -> None:
    out = tmp_path / "run"
    done = command("run", "--task", f"{EXAMPLES / 'own_task.py'}:{name}", *SMALL, "--out", out, "--quiet")
    assert done.code == 0, done.err
    assert lagbench.open(out).status == "completed"


def test_earlier_phases_are_trained_on_too(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = command("run", "--algo", f"{EXAMPLES / 'replay.py'}:Replay", *SMALL, "--out", out, "--quiet")
    assert done.code == 0, done.err
    assert lagbench.open(out).phases.to_table()["backward_lag_max"].to_pylist() == [0, 1, 2, 3, 3]


def test_an_environment_of_ones_own(tmp_path: Path) -> None:
    out = tmp_path / "run"
    task = f"{EXAMPLES / 'own_environment.py'}:make"
    done = command("run", "--task", task, "--task-set", "pushes=5", *SMALL, "--out", out, "--quiet")
    assert (done.code, done.err) == (0, "")
    assert lagbench.open(out).status == "completed"


@pytest.mark.slow
def test_a_lag_mode_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, installed, out = tmp_path / "source", tmp_path / "installed", tmp_path / "run"
    shutil.copytree(EXAMPLES / "own_lag_mode", source)  # setuptools leaves its build/ beside the sources
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--target", installed, source], check=True, capture_output=True)
    monkeypatch.syspath_prepend(installed)
    registry._entries.cache_clear()
    try:
        options = ("--lag-mode", "sawtooth", "--lag-set", "period=3", "--lag", "2")
        done = command("run", *options, *SMALL, "--out", out, "--quiet")
    finally:
        registry._entries.cache_clear()
    assert done.code == 0, done.err
    assert lagbench.open(out).phases.to_table()["versions"].to_pylist() == [[n - n % 3] * 4 for n in range(5)]


@pytest.mark.slow
def test_slurm_runs_a_cell_in_each_task_of_an_array(tmp_path: Path) -> None:
    """As SLURM starts it, but for the cluster; a task beyond the last cell does nothing."""

    def task(number: int, array: str) -> str:
        settings = {"SUITE": "TESTING", "ALGO": "ppo", "OUT": "out"}
        scheduler = {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": str(number)}
        done = subprocess.run(
            [EXAMPLES / "slurm_array.sh"],
            cwd=tmp_path,
            env=environment(**settings, **scheduler),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    ran = task(2, "7").splitlines()[-1]
    assert lagbench.open(tmp_path / ran).status == "completed"
    assert len((tmp_path / "out/cells-7.txt").read_text().splitlines()) == 8
    assert task(9, "7") == "there is no cell 9\n"
    # Submitted again, the finished cell is no line any more.
    assert task(9, "8") == "there is no cell 9\n"
    left = (tmp_path / "out/cells-8.txt").read_text()
    assert len(left.splitlines()) == 7
    assert ran not in left


def test_slurm_says_how_it_is_submitted(tmp_path: Path) -> None:
    done = subprocess.run(
        [EXAMPLES / "slurm_array.sh"], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "submit this with sbatch --array" in done.stderr


def test_the_ray_example_starts_what_the_sweep_has(tmp_path: Path) -> None:
    """The sweep itself runs on a cluster in tests/sweep/test_ray_cluster.py: here a stand-in notes what it is asked."""
    stand_in = tmp_path / "lagbench"
    stand_in.write_text('#!/bin/sh\necho "$@"\n')
    stand_in.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = subprocess.run(
        [EXAMPLES / "ray_cluster.sh"],
        env=os.environ | {"PATH": path, "SUITE": "TESTING", "OUT": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
        check=True,
    )
    sweep, score = (line.split() for line in done.stdout.splitlines())
    assert score == ["score", str(tmp_path / "runs"), "--suite", "TESTING"]
    # Both lines are the command line's own: without a cluster, and without runs, they are refused for that alone.
    assert sweep[:1] == ["sweep"]
    assert command(*sweep[:-2], "--dry-run").code == 0


def test_every_example_is_listed() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [file.name for file in EXAMPLES.iterdir() if f"({file.name})" not in text and file.name != "README.md"] == []
