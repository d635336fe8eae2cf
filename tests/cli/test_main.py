"""The command as a whole: help, exit codes, and that a mistake costs one sentence."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete

from lagbench import registry
from lagbench.cli import main as module
from lagbench.errors import LagbenchError, MismatchError, RecordError, UsageError
from tests.cli.run_here import lagbench


def test_alone_it_shows_its_help() -> None:
    alone, asked = lagbench(), lagbench("--help")
    assert (alone.code, asked.code) == (0, 0)
    assert alone.out == asked.out == lagbench("-h").out
    assert alone.err == asked.err == ""
    for command in module._COMMANDS:
        assert f"  {command} " in asked.out
    assert "lagbench run --algo vaco --lag 8\n" in asked.out


@pytest.mark.parametrize("command", module._COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = lagbench(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Usage: lagbench {command} ")
    assert "--json" in done.out
    assert "\b" not in done.out
    assert "\\b" not in done.out


def test_version() -> None:
    from importlib.metadata import version

    assert lagbench("--version").out == f"lagbench {version('lagbench')}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("rn", "Error: unknown command 'rn'; did you mean 'run'? Known: check, "),
        # In click's own words, of which these are the ones that matter.
        ("run --lagg 3", "--lag'"),
        ("run extra", "(extra). See: lagbench run --help"),
        ("run --lag", "'--lag' requires an argument. See: lagbench "),
        ("show", "'RUN-OR-NAME'. See: lagbench show --help"),
        ("resume", "'RUN'. See: lagbench resume --help"),
        ("list", "Choose from: tasks, algorithms, suites. See: lagbench list --help"),
        ("list task", "unknown value 'task'; did you mean 'tasks'? Known: algorithms, suites, tasks."),
    ],
)
def test_wrong_usage_costs_a_sentence(arguments: str, sentence: str) -> None:
    done = lagbench(*arguments.split())
    assert done.code == 2
    assert sentence in done.sentence


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command of another package that raises what it is given."""

    def register(error: BaseException | None, value: Any = None) -> None:
        @click.command()
        def command() -> Any:
            if error is not None:
                raise error
            return value

        monkeypatch.setattr(registry, "commands", lambda: {"compare": "another.package:command"})
        monkeypatch.setattr(registry, "load", lambda _: command)

    return register


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (LagbenchError("it failed"), 1, "Error: it failed\n"),
        (RecordError("no room"), 1, "Error: no room\n"),
        (MismatchError("not the same"), 1, "Error: not the same\n"),
        (UsageError("not so"), 2, "Error: not so\n"),
        (click.ClickException("from click"), 1, "Error: from click\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),  # on a line of its own, not behind ^C
        (click.Abort(), 130, "interrupted\n"),
    ],
)
def test_an_error_becomes_a_sentence_and_an_exit_code(raising: Any, error: Any, code: int, printed: str) -> None:
    raising(error)
    done = lagbench("compare")
    assert (done.code, done.out, done.err) == (code, "", printed)


@pytest.mark.parametrize(("value", "code"), [(None, 0), (0, 0), (3, 3)])
def test_a_command_returns_its_exit_code(raising: Any, value: Any, code: int) -> None:
    raising(None, value)
    assert lagbench("compare").code == code
    assert "  compare" in lagbench("--help").out


def test_notes_of_an_error_are_told() -> None:
    error = UsageError("`loss` must return one number")
    error.add_note("in phase 2, at mine.py:7")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.cli, "main", lambda **_: (_ for _ in ()).throw(error))
        assert lagbench("run").err == "Error: `loss` must return one number; in phase 2, at mine.py:7\n"


def test_a_defect_is_shown_with_the_part_of_its_traceback_that_helps(raising: Any) -> None:
    raising(ZeroDivisionError("somewhere"))
    done = lagbench("compare")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Traceback")
    assert done.err.endswith("ZeroDivisionError: somewhere\n")
    assert f'File "{__file__}"' in done.err
    assert f"{os.sep}click{os.sep}" not in done.err
    assert f"{os.sep}cli{os.sep}main.py" not in done.err


def test_a_reader_who_leaves_is_no_error() -> None:
    """As `lagbench list tasks | head -1`, and no complaint of Python's when it flushes at the end."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "lagbench", "list", "tasks"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def complete(*arguments: str) -> list[str]:
    *before, incomplete = arguments
    shell = ShellComplete(module.cli, {}, "lagbench", "_LAGBENCH_COMPLETE")
    return [item.value for item in shell.get_completions(before, incomplete)]


def test_the_shell_completes_names() -> None:
    assert complete("res") == ["resume"]
    assert complete("run", "--algo", "p") == ["ppo", "ppo-ewma", "ppo-kl"]
    assert complete("run", "--task", "Ho") == ["Hopper-v4", "Hopper-v5"]
    assert complete("run", "--forward", "") == ["reuse", "split"]
    assert complete("show", "vac") == ["vaco"]
    assert complete("list", "a") == ["algorithms"]
    assert complete("nothing", "a") == []


def test_what_it_does_not_know_it_leaves_to_the_shell() -> None:
    assert complete("run", "--algo", "mine.py") == ["mine.py"]
    (item,) = ShellComplete(module.cli, {}, "lagbench", "x").get_completions(["show"], "./runs")
    assert item.type == "file"


def test_the_module_is_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lagbench", "run", "--lag", "x"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "Error: Invalid value for '--lag': 'x' is not a whole number (1M, 1e6 and 1_000_000 are). "
        "See: lagbench run --help\n"
    )
