"""docs/algorithms.md from an empty file to a run, in its own words."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lagbench import Algorithm
from lagbench.rollout import FIELDS

TEXT = (Path(__file__).parents[1] / "docs" / "algorithms.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
FILE, PROGRAM, REPLAY = (body for language, body in BLOCKS if language == "python")
CONSOLE = [body for language, body in BLOCKS if language == "console"]


def start(arguments: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """A command, where the file of the page lies."""
    (directory / "mine.py").write_text(FILE, encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(arguments, cwd=directory, env=environment, capture_output=True, text=True, check=False)


def commands(block: str) -> tuple[list[str], str]:
    """The command of a console block, and what it prints."""
    line, _, printed = block.partition("\n")
    assert line.startswith("$ ")
    return shlex.split(line[2:]), printed


def test_the_file_is_small() -> None:
    lines = [x for x in FILE.splitlines() if x.strip() and not x.strip().startswith(('"""', "import", "from"))]
    assert len(lines) <= 30


def test_check(tmp_path: Path) -> None:
    command, printed = commands(CONSOLE[0])
    done = start(command, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == printed


@pytest.mark.slow
def test_run(tmp_path: Path) -> None:
    command, printed = commands(CONSOLE[1])
    assert printed == ""
    done = start(command, tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / done.stdout.splitlines()[-1]
    assert (run / "result.json").is_file()


def test_from_python(tmp_path: Path) -> None:
    """Two phases instead of ten, to be quick."""
    assert PROGRAM.count("budget=20_480") == 1
    done = start([sys.executable, "-c", PROGRAM.replace("20_480", "4096")], tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [[float(x) for x in line.split()] for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [0, 1]
    assert all(0 <= row[1] <= 1 and row[2] > 0 for row in rows)


def test_the_replay_buffer_is_that_of_the_example() -> None:
    """Run by tests/test_store.py."""
    example = (Path(__file__).parents[1] / "examples/replay.py").read_text(encoding="utf-8")
    assert textwrap.indent(REPLAY, "    ") in example


def column(header: str) -> list[str]:
    """What stands in code in the first column of the table with this header."""
    table = TEXT.split(f"| {header} |", 1)[1].split("\n\n", 1)[0]
    first = [row.split("|")[1] for row in table.splitlines()[2:]]
    return [name for cell in first for name in re.findall(r"`([\w-]+)[^`]*`", cell)]


def test_every_field_of_a_batch_is_explained() -> None:
    assert set(column("field | shape | what | set by")) == {*FIELDS, "extra", "group_size", "length", "longest"}


def test_every_hyperparameter_is_explained() -> None:
    fields = {f.name: f.default for f in dataclasses.fields(Algorithm.Config)}
    assert column("field | default |") == list(fields)
    rows = TEXT.split("| field | default | |", 1)[1].split("\n\n", 1)[0]
    for name, default in fields.items():
        (row,) = (r for r in rows.splitlines() if f"`{name}`" in r)
        assert repr(default).strip("'") in row or f"{default:g}" in row or "3e-4" in row


def test_every_hook_is_explained() -> None:
    own = {k for k, v in vars(Algorithm).items() if callable(v) and not k.startswith("_") and k != "Config"}
    assert set(column("hook | when | default")) == {*own, "minibatch"}


def test_every_check_is_explained() -> None:
    printed = [line.split()[-1] for line in CONSOLE[0].splitlines() if line.startswith("ok")]
    assert column("check | what holds") == list(dict.fromkeys(printed))
