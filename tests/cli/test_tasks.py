"""A task of one's own on the command line: run, resumed, swept, replayed and shown by the function that makes it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

import lagbench as package
from tests.cli.run_here import SMALL, content_hash, lagbench
from tests.ends import interrupt
from tests.source.trees import TREE, lay_out

DOCS = (Path(__file__).parents[2] / "docs/tasks.md").read_text(encoding="utf-8")
(TASKS,) = (block for block in re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL) if "def pendulum" in block)
OPTIONS = (*SMALL, "--task-set", "max_episode_steps=20")


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
    interrupt(package.open(run).spec, Path("cut"))
    assert lagbench("resume", "cut", "-q").code == 0
    assert content_hash(Path("cut")) == content_hash(run)
    assert lagbench("replay", run, "--training", "-q").code == 0

    swept = ("sweep", "--task", "tasks.py:pendulum", "--algo", "ppo", *OPTIONS, "-o", "out")
    assert " --task tasks.py:pendulum " in lagbench(*swept, "--print-commands").out
    assert lagbench(*swept, "-q").code == 0
    assert content_hash(Path("out/pendulum/ppo/lag0-u20-seed0"))["phases"] == content_hash(run)["phases"]

    # Another source is another task; runs that there are go on with their copies.
    tasks.write_text(TASKS + "# changed\n")
    assert "lag0-u20-seed0 holds another run: task_options.source_sha256 is " in lagbench(*swept).sentence
    tasks.unlink()
    assert (run / "task_source/tasks.py").read_text() == TASKS
    assert lagbench("run", "--spec", run / "spec.json", "-o", "new", "-q").code == 0
    assert content_hash(Path("new")) == content_hash(run)
    assert lagbench("replay", run, "-q").code == 0
    shutil.rmtree(run / "task_source")
    for line in (("run", "--spec", run / "spec.json", "-o", "another"), ("replay", run)):
        done = lagbench(*line)
        assert done.code == 2
        assert "the source of tasks.py:pendulum (SHA-256 " in done.sentence
        assert "cannot be found: there is no file 'tasks.py'" in done.sentence
    assert not Path("another").exists()
    # What was recorded is shown without running anything of it.
    assert "tasks.py:pendulum max_episode_steps=20 source_sha256=" in lagbench("show", run).out
    assert lagbench("export", run, "--to", "slim", "-o", "slim", "-q").code == 0


def test_its_helpers_are_of_its_source(tasks: Path) -> None:
    """And are not those of the algorithm, by whatever name."""
    Path("in_file.py").write_text("import helper\n" + TASKS.replace("100", "helper.LENGTH"))
    Path("helper.py").write_text("LENGTH = 20\n")
    lay_out(Path("algorithm"), TREE)
    line = ("run", "--task", "in_file.py:pendulum", "--algo", "algorithm/mine.py:Mine", *SMALL, "-q", "--out")
    assert lagbench(*line, "run").code == 0
    assert Path("run/task_source/helper.py").read_text() == "LENGTH = 20\n"
    assert Path("run/source/helper.py").read_text() == TREE["helper.py"]
    Path("helper.py").write_text("LENGTH = 30\n")
    assert lagbench(*line, "other").code == 0
    first, second = (json.loads(Path(name, "spec.json").read_text())["task_options"] for name in ("run", "other"))
    assert first["source_sha256"] != second["source_sha256"]


@pytest.mark.parametrize("installed", [False, True])
def test_a_function_of_a_module(installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a package that Python finds: its source is kept, unless it is installed."""
    where = lay_out(
        tmp_path / ("site-packages" if installed else "lib"), {"own_pack/__init__.py": "", "own_pack/a.py": TASKS}
    )
    monkeypatch.syspath_prepend(where)
    line = ("run", "--task", "own_pack.a:pendulum", *OPTIONS, "-q", "--out")
    assert lagbench(*line, "run").code == 0
    assert Path("run/task_source").exists() != installed
    (where / "own_pack/a.py").write_text(TASKS + "# changed\n")
    done = lagbench("run", "--spec", "run/spec.json", "--out", "again", "-q")
    assert done.code == (2 if installed else 0)
    if installed:
        assert "the source of own_pack.a:pendulum has changed since this run was specified" in done.sentence
    for name in [name for name in sys.modules if name.partition(".")[0] == "own_pack"]:
        del sys.modules[name]


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
        "rename one of them, or sweep them into separate directories"
    )


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        ("tasks.py", " Name your own task as path/to/file.py:function or module:function, see docs/tasks.md"),
        ("tasks.py:pendulm", "unknown function in tasks.py 'pendulm'; did you mean 'pendulum'? Known: pendulum."),
        ("mine.py:Mine", "mine.py:Mine cannot create the task mine.py:Mine: TypeError: "),
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
