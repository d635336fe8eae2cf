"""docs/algorithms.md from an empty file to a run, in its own words."""

from __future__ import annotations

import dataclasses
import re
import shlex
import textwrap
from pathlib import Path

import pytest

from lagbench import Algorithm
from lagbench.rollout import FIELDS
from tests.cli.run_here import Done, lagbench

TEXT = (Path(__file__).parents[1] / "docs" / "algorithms.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
FILE, PROGRAM, REPLAY = (body for language, body in BLOCKS if language == "python")
CONSOLE = [body for language, body in BLOCKS if language == "console"]


@pytest.fixture(autouse=True)
def _file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where commands are typed lies the file of the page."""
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(FILE, encoding="utf-8")


def typed(block: str, *more: str) -> tuple[Done, str]:
    """What the command of a console block does, with ``more`` options, and what it prints by the page."""
    line, _, printed = block.partition("\n")
    prompt, program, *arguments = shlex.split(line)
    assert (prompt, program) == ("$", "lagbench")
    return lagbench(*arguments, *more), printed


def test_the_file_is_small() -> None:
    lines = [x for x in FILE.splitlines() if x.strip() and not x.strip().startswith(('"""', "import", "from"))]
    assert len(lines) <= 30


def test_check() -> None:
    done, printed = typed(CONSOLE[0])
    assert (done.code, done.out, done.err) == (0, printed, "")


@pytest.mark.slow
def test_run() -> None:
    """Evaluated less, to be quick."""
    done, printed = typed(CONSOLE[1], "--eval-episodes", "1", "--eval-intervals", "1")
    assert printed == ""
    assert done.code == 0, done.err
    assert (Path(done.out.splitlines()[-1]) / "result.json").is_file()


def test_from_python(capsys: pytest.CaptureFixture[str]) -> None:
    """Two phases instead of ten, to be quick."""
    assert PROGRAM.count("budget=20_480") == 1
    exec(compile(PROGRAM.replace("20_480", "4096"), "docs/algorithms.md", "exec"), {})
    rows = [[float(x) for x in line.split()] for line in capsys.readouterr().out.splitlines()]
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
