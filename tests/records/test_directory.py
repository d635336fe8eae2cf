"""A directory that lagbench made: all or nothing, and never over anything else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lagbench.errors import RecordError, UsageError
from lagbench.records.directory import Kind

KIND = Kind("report", "report.json")
FILES = {"a.svg": b"<svg/>", "deep/er/index.html": b"<!doctype html>"}


def content(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_written_and_written_again(tmp_path: Path) -> None:
    out = tmp_path / "deep/out"
    assert not KIND.check_free(out)
    KIND.write(out, FILES, {"command": "x"})
    assert content(out).keys() == {*FILES, "report.json"}
    assert KIND.check_free(out)
    document = json.loads((out / "report.json").read_text())
    assert (document["kind"], document["command"], document["files"].keys()) == ("lagbench report", "x", {*FILES})
    # What the new one lacks goes.
    KIND.write(out, {"index.html": b"new"}, {})
    assert content(out).keys() == {"index.html", "report.json"}
    assert not (out / "deep").exists()
    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda out: (out / "mine.txt").write_text("x"), r"a file that is not part of a lagbench report, 'mine\.txt'"),
        (lambda out: (out / "deep/more").mkdir(), "a file that is not part of a lagbench report, 'deep/more'"),
        (
            lambda out: (out / "deep/link").symlink_to("/etc"),
            "not part of a lagbench report, 'deep/link'",
        ),
        (lambda out: (out / "report.json").write_text("{}"), "a file that is not part of a lagbench report"),
        (lambda out: (out / "report.json").unlink(), "a file that is not part of a lagbench report"),
        (lambda out: (out / "a.svg").write_text("<svg>edited</svg>"), r"a\.svg has changed since lagbench wrote it"),
        (lambda out: [(out / "a.svg").unlink(), (out / "a.svg").symlink_to("report.json")], r"a\.svg has changed"),
    ],
)
def test_nothing_of_others_is_overwritten(change: Callable[[Path], Any], error: str, tmp_path: Path) -> None:
    KIND.write(tmp_path / "out", FILES, {})
    change(tmp_path / "out")
    before = content(tmp_path / "out")
    with pytest.raises(UsageError, match=error):
        KIND.write(tmp_path / "out", {"index.html": b"new"}, {})
    assert content(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["mine.txt", "report.json", ".hidden"])
def test_a_foreign_directory_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("{}")
    with pytest.raises(UsageError, match=f"a file that is not part of a lagbench report, '{name}'"):
        KIND.write(tmp_path / "out", FILES, {})
    assert content(tmp_path / "out") == {name: b"{}"}


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="out is not a directory; give another one with -o"):
        KIND.check_free(tmp_path / "out")


def test_one_behind_a_link_is_replaced_there(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    KIND.write(tmp_path / "link", FILES, {})
    KIND.write(tmp_path / "link", FILES, {})
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path / "real").keys() == {*FILES, "report.json"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_fails_leaves_what_was_there(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    KIND.write(out, FILES, {})
    before, renamed = content(out), os.rename

    def full(a: Path, b: Path) -> None:
        if Path(a).name == "made":
            raise error
        renamed(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        with pytest.raises((RecordError, KeyboardInterrupt)) as raised:
            KIND.write(out, {"index.html": b"new"}, {})
    assert raised.type is KeyboardInterrupt or "out (No space left on device); free some space" in str(raised.value)
    assert content(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_no_manifest(tmp_path: Path) -> None:
    whole = {"kind": "lagbench report", "format_version": 2, "files": {}}
    for text in ("", "[]", "[" * 100_000, '{"kind": 1}', json.dumps({**whole, "format_version": 1})):
        (tmp_path / "report.json").write_text(text)
        assert KIND.files(tmp_path) is None
    for name in ("/etc/passwd", "../up"):
        (tmp_path / "report.json").write_text(json.dumps({**whole, "files": {name: ""}}))
        assert KIND.files(tmp_path) is None
    (tmp_path / "report.json").write_text(json.dumps(whole))
    assert KIND.files(tmp_path) == {}
