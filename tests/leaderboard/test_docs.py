"""docs/submitting.md says what is checked, how large anything may be, what to type, and what comes of what is tried."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path

import click
import pytest

from lagbench import load_suite
from lagbench.leaderboard import documents, rerun, sandbox, submission, validate
from lagbench.leaderboard.cli import rerun as rerunning
from lagbench.leaderboard.cli import submit
from lagbench.leaderboard.cli import validate as validating
from lagbench.leaderboard.reruns import Beacon

TEXT = (Path(__file__).parents[2] / "docs/submitting.md").read_text(encoding="utf-8")
COMMANDS = {"submit": submit.command, "validate": validating.command, "rerun": rerunning.command}
TESTS = {
    "files": "test_submission.test_a_directory_is_held_to_its_form",
    "documents": "test_submission.test_a_manifest_is_held_to_its_form",
    "hashes": "test_submission.test_a_directory_is_held_to_its_form",
    "names": "test_text.test_names_that_look_alike_are_one",
    "place": "test_validate.test_it_lies_with_those_of_its_suite",
    "suite": "test_validate.test_a_manifest_fits_where_it_lies",
    "grid": "test_validate.test_results_are_those_of_the_suite_and_can_be",
    "numbers": "test_validate.test_results_are_those_of_the_suite_and_can_be",
    "source": "test_validate.test_a_source_is_whole_and_python",
    "write outside its run directory": "test_sandbox.test_it_writes_in_its_directory_and_nowhere_else",
    "read files or the environment of the host": "test_sandbox.test_it_sees_neither_files_nor_environment_of_the_host",
    "open a connection": "test_sandbox.test_it_reaches_no_network",
    "kill its parent or other processes": "test_sandbox.test_it_kills_nobody",
    "start processes, sleep, fill memory or disk without end": "test_sandbox.test_it_is_ended_where_it_uses_too_much",
    "leave a link or a set-user-ID file": "test_rerun.test_a_source_that_trains_nothing_has_no_table",
    "print terminal control sequences": "test_validate.test_a_report_that_is_none_is_no_report",
    "exit early, fail to import, or not be Python": "test_rerun.test_a_source_that_trains_nothing_has_no_table",
    "record rewards, seeds, lags or policies other than the real ones": (
        "test_rerun.test_runs_that_are_not_what_they_say_make_no_table"
    ),
    "modify stored policy versions": "test_rerun.test_a_source_that_trains_nothing_has_no_table",
    "claim results that its runs did not have": "test_rerun.test_what_is_claimed_decides_nothing",
}


def rows(first: str) -> list[tuple[str, str]]:
    """The rows of the table whose first column has that head."""
    (table,) = re.findall(rf"^\| {first} \|.*\n\| --- .*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [(cells[1].strip(), cells[2].strip()) for cells in (line.split("|") for line in table.splitlines())]


def test_every_row_has_its_test() -> None:
    told = [row for head in ("what", "what a source may try") for row, _ in rows(head)]
    assert told == list(TESTS)
    for place in TESTS.values():
        module, _, name = place.partition(".")
        assert callable(getattr(importlib.import_module(f"tests.leaderboard.{module}"), name))


def test_every_field_and_file_is_there() -> None:
    assert [name.strip("`") for name, _ in rows("field")] == list(submission.Manifest.__struct_fields__)
    (results,) = (text for name, text in rows("file") if name == "`results.json`")
    fields = {*submission.Claim.__struct_fields__, *submission.Cell.__struct_fields__} - {"format_version", "cells"}
    assert set(re.findall(r"`([^`]+)`", results)) == fields


def test_the_limits_are_those_that_hold() -> None:
    limits, mebibyte = sandbox.Limits(), 1 << 20
    assert dict(rows("limit \\|")) == {
        "`submission.json`": f"{submission.MANIFEST_BYTES >> 10} KiB",
        "`results.json`": f"{submission.RESULTS_BYTES // mebibyte} MiB",
        "`source/`": f"{submission.SOURCE_BYTES // mebibyte} MiB, {submission.SOURCE_FILES} modules",
        "a name, an author, a key": f"{documents.NAME} characters",
        "authors": "50",
        "hyperparameters": "100",
        "each part of the statement": f"{documents.PROSE:,} characters",
    }
    gibibyte = sandbox.GIBIBYTE
    run = (
        f"{limits.processes} processes and threads, {limits.seconds / 3600:.0f} hours, {limits.memory // gibibyte} GiB"
    )
    disk = f"{limits.directory // gibibyte} GiB and {sandbox._ENTRIES:,} files a cell"
    assert f"{run} of memory, {disk}" in TEXT
    assert f"{validate.READING.memory // gibibyte} GiB and two minutes" in TEXT
    assert validate.READING.seconds == 120
    assert f"`--cells {rerun.SHARE}`" in TEXT


def test_the_seeds_are_those_that_it_says() -> None:
    """Worked out with sha256sum: the first 8 bytes of SHA-256 of ``lagbench rerun aaa…a 1 0``, and 2³²."""
    assert "2³² + the first 8 bytes of\nSHA-256(`lagbench rerun <submission> <value> <i>`) modulo 2⁶³ − 2³²" in TEXT
    assert rerun.seeds("a" * 64, Beacon(value="1", name=None), 1) == (SEED,)


SEED = 943_334_951_096_439_478


@pytest.mark.parametrize("line", re.findall(r"^lagbench leaderboard .*$", TEXT, re.MULTILINE))
def test_what_is_typed_is_understood(line: str) -> None:
    _, _, name, *arguments = shlex.split(line)
    command: click.Command = COMMANDS[name]
    assert command.make_context(name, arguments).params


def test_the_method_of_the_page_is_one(tmp_path: Path) -> None:
    from lagbench.check import check

    (program,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    (tmp_path / "mine.py").write_text(program)
    assert check(f"{tmp_path}/mine.py:Mine", config={"limit": "1.5"}).passed
    assert load_suite("TESTING").name in TEXT
