"""A task of one's own on the command line: run, resumed, swept, replayed and shown by the function that makes it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import lagbench as package
from lagbench import runner
from lagbench.sinks.base import Sink
from tests.cli.run_here import SMALL, content_hash, lagbench

DOCS = (Path(__file__).parents[2] / "docs/tasks.md").read_text(encoding="utf-8")
(TASKS,) = (block for block in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL) if "def pendulum" in block)
OPTIONS = (*SMALL, "--task-set", "max_episode_steps=20")


class CutOff(BaseException):
    """Stands for what ends a process."""


class Scissors(Sink):
    def write(self, result: package.PhaseResult) -> None:
        raise CutOff


@pytest.fixture(autouse=True)
def tasks(here: Path) -> Path:
    (here / "tasks.py").write_text(TASKS)
    return here / "tasks.py"


def test_it_is_found_again_from_the_specification(tasks: Path) -> None:
    done = lagbench("run", "--task", "tasks.py:pendulum", *OPTIONS, "-q")
    assert (done.code, done.out) == (0, "runs/pendulum/ppo/lag0-u20-seed0-0\n")
    run = Path(done.out.strip())
    assert json.loads((run / "spec.json").read_text())["task"] == "tasks.py:pendulum"
    assert lagbench("run", "--spec", run / "spec.json", "-o", "again", "-q").code == 0
    assert content_hash(Path("again")) == content_hash(run)
    with pytest.raises(CutOff):
        runner.execute(package.open(run).spec, Path("cut"), threads=1, sinks=[Scissors()])
    assert lagbench("resume", "cut", "-q").code == 0
    assert content_hash(Path("cut")) == content_hash(run)
    assert lagbench("replay", run, "--training", "-q").code == 0

    swept = ("sweep", "--task", "tasks.py:pendulum", "--algo", "ppo", *OPTIONS, "-o", "out")
    assert " --task tasks.py:pendulum " in lagbench(*swept, "--print-commands").out
    assert lagbench(*swept, "-q").code == 0
    assert content_hash(Path("out/pendulum/ppo/lag0-u20-seed0"))["phases"] == content_hash(run)["phases"]

    # Another source is another task.
    tasks.write_text(TASKS + "# changed\n")
    for line in (("run", "--spec", run / "spec.json", "-o", "new"), ("replay", run)):
        done = lagbench(*line)
        assert done.code == 2
        assert "the source of tasks.py:pendulum has changed since this run was specified" in done.sentence
    assert not Path("new").exists()
    assert "lag0-u20-seed0 holds another run: task_options.source_sha256 is " in lagbench(*swept).sentence
    # What was recorded is shown without running anything of it.
    tasks.unlink()
    assert "tasks.py:pendulum max_episode_steps=20 source_sha256=" in lagbench("show", run).out
    assert lagbench("export", run, "--to", "slim", "-o", "slim", "-q").code == 0


def test_it_is_shown() -> None:
    done = lagbench("show", "tasks.py:pendulum")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("task_id: tasks.py:pendulum\ndomain: control\n")
    assert "\nmax_episode_steps: 100\n" in done.out


def test_two_that_would_share_a_directory(tasks: Path) -> None:
    Path("other.py").write_text(TASKS)
    line = ("sweep", "--task", "tasks.py:pendulum,other.py:pendulum", "--algo", "ppo", *OPTIONS, "-o", "out")
    assert lagbench(*line).sentence == (
        "Error: tasks.py:pendulum and other.py:pendulum would share the directory out/pendulum/ppo/lag0-u20-seed0; "
        "rename one of them, or sweep them into directories of their own"
    )


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("Pendulum-v1", "Give one of your own as path/to/file.py:function or module:function, see docs/tasks.md"),
        ("tasks.py", "Give one of your own as path/to/file.py:function or module:function, see docs/tasks.md"),
        ("tasks.py:pendulm", "unknown function in tasks.py 'pendulm'; did you mean 'pendulum'? Known: pendulum."),
        ("mine.py:Mine", "mine.py:Mine cannot make the task mine.py:Mine: TypeError: "),
        (
            "tasks:pendulum",
            "'tasks' cannot be imported: ModuleNotFoundError: No module named 'tasks'; a file is ",
        ),
        ("lagbench.tasks.mujoco:task", "EnvPool has no task 'lagbench.tasks.mujoco:task'"),
    ],
)
def test_refusals(task: str, sentence: str) -> None:
    done = lagbench("run", "--task", task, *OPTIONS)
    assert done.code == 2
    assert sentence in done.sentence
    assert not Path("runs").exists()
