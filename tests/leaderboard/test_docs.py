"""docs/submitting.md says what is checked, how large anything may be, and what to type."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from lagbench.leaderboard import layout, limits, manifest
from lagbench.leaderboard.cli import submit, validate
from lagbench.leaderboard.findings import CHECKS

TEXT = (Path(__file__).parents[2] / "docs/submitting.md").read_text(encoding="utf-8")
COMMANDS = {"submit": submit.command, "validate": validate.command}


def rows(heading: str) -> list[tuple[str, str]]:
    """The first two cells of the rows of the tables under a heading."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    lines = [line for line in section.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [(cells[1].strip(), cells[2].strip()) for cells in (line.split("|") for line in lines)]


def test_every_check_is_there() -> None:
    assert rows("What is checked")[1:] == [(check.name, check.about) for check in CHECKS]


def test_every_field_and_file_is_there() -> None:
    names = {name for first, _ in rows("What it holds") for name in re.findall(r"`([^`]+)`", first)}
    assert set(manifest.FIELDS) <= names
    assert {manifest.FILE, manifest.SOURCE, *layout.possible()} <= names


def mebibytes(value: int) -> str:
    return f"{value // limits.MEBIBYTE} MiB"


def test_the_limits_are_those_that_hold() -> None:
    assert dict(rows("Limits")[1:]) == {
        "a submission": mebibytes(limits.TOTAL_BYTES),
        "a file": mebibytes(limits.FILE_BYTES),
        "`submission.json`": mebibytes(limits.MANIFEST_BYTES),
        "any other JSON, and `algorithm.txt`": mebibytes(limits.JSON_BYTES),
        "files and directories": f"{limits.FILES:,}",
        "a path": f"{limits.PATH_LENGTH} characters",
        "lists and objects of JSON inside one another": str(limits.JSON_DEPTH),
        "a table, decompressed": mebibytes(limits.TABLE_BYTES),
        "a name, an author, a key": f"{limits.NAME_LENGTH} characters",
        "authors": str(limits.AUTHORS),
        "hyperparameters": str(limits.CONFIG_ENTRIES),
        "each part of the statement": f"{limits.STATEMENT_LENGTH:,} characters",
        "metrics of a phase": str(limits.METRICS),
    }
    assert limits.JSON_BYTES == limits.SOURCE_BYTES


@pytest.mark.parametrize("line", re.findall(r"^lagbench leaderboard (?:submit|validate) .*$", TEXT, re.MULTILINE))
def test_what_is_typed_is_understood(line: str) -> None:
    _, _, name, *arguments = shlex.split(line)
    command: click.Command = COMMANDS[name]
    assert command.make_context(name, arguments).params
