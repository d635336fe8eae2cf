"""The site as files: the same bytes every time, all or nothing, and never over anything else."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lagbench import LagbenchError, UsageError
from lagbench.leaderboard.board import Board
from lagbench.leaderboard.site import build, directory, pages

SUITE = "TESTING"


@pytest.fixture(scope="module")
def more(boards: list[Board]) -> Board:
    """A board of two rows."""
    return dataclasses.replace(boards[0], ranked=boards[0].ranked[:2], claims=())


@pytest.fixture(scope="module")
def less(more: Board) -> Board:
    return dataclasses.replace(more, ranked=more.ranked[:1])


def content(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_the_same_board_gives_the_same_bytes(more: Board, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    build.build([more], tmp_path / "a/deep", lambda done, total: told.append((done, total)))
    build.build([more], tmp_path / "b")
    assert content(tmp_path / "a/deep") == content(tmp_path / "b")
    beside = ("results.csv", "results.json")
    of_method = (*beside, "index.html", "runs.arrow", "training.svg", "training.narrow.svg")
    assert set(content(tmp_path / "b")) == {
        "site.json",
        "index.html",
        "static/board.css",
        "static/board.js",
        *(f"{SUITE}/{name}" for name in (*beside, "board.svg", "board.narrow.svg")),
        *(f"{SUITE}/{row.method.key}/{name}" for row in more.ranked for name in of_method),
    }
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert not any(str(tmp_path).encode() in data for data in content(tmp_path / "b").values())


def test_the_site_of_before_is_replaced_whole(more: Board, less: Board, tmp_path: Path) -> None:
    out = tmp_path / "site"
    out.mkdir()
    assert not directory.check_free(out)
    build.build([more], out)
    assert directory.check_free(out)
    build.build([less], out)
    assert not (out / SUITE / more.ranked[1].method.key).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    build.build([], out)
    assert set(content(out)) == {"index.html", "site.json", "static/board.css", "static/board.js"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda out: (out / "mine.txt").write_text("x"), r"a file that is not part of a lagbench site, 'mine\.txt'"),
        (lambda out: (out / "static/more").mkdir(), "a file that is not part of a lagbench site, 'static/more'"),
        (lambda out: (out / "index.html").write_text("mine"), r"index\.html has changed since"),
        (
            lambda out: (out / "static/link").symlink_to("/etc"),
            "a file that is not part of a lagbench site, 'static/link'",
        ),
        (lambda out: (out / "site.json").write_text("{}"), "a file that is not part of a lagbench site"),
        (lambda out: (out / "site.json").unlink(), "a file that is not part of a lagbench site"),
    ],
)
def test_nothing_of_others_is_overwritten(change: Callable[[Path], Any], error: str, tmp_path: Path) -> None:
    out = tmp_path / "site"
    build.build([], out)
    change(out)
    before = content(out)
    with pytest.raises(UsageError, match=error):
        build.build([], out)
    assert content(out) == before


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("mine")
    with pytest.raises(UsageError, match="site is no directory"):
        build.build([], tmp_path / "site")


def test_a_site_behind_a_link_is_replaced_there(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    build.build([], tmp_path / "link")
    build.build([], tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real/index.html").is_file()


def test_what_fails_leaves_the_site_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "site"
    build.build([], out)
    before = content(out)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pages, "files", full)
        with pytest.raises(LagbenchError, match=r"site cannot be written \(No space left on device\)"):
            build.build([], out)
    with monkeypatch.context() as patch:
        renamed = os.rename
        patch.setattr(os, "rename", lambda a, b: full() if Path(a).name == "made" else renamed(a, b))
        with pytest.raises(LagbenchError, match="No space left"):
            build.build([], out)
    assert content(out) == before
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_what_is_no_manifest(tmp_path: Path) -> None:
    for text in ("", "[]", '{"kind": "lagbench leaderboard", "format_version": 2, "files": {}}', '{"kind": 1}'):
        (tmp_path / "site.json").write_text(text)
        assert directory.read_manifest(tmp_path) is None
    (tmp_path / "site.json").write_text(json.dumps({"kind": "lagbench leaderboard", "format_version": 1, "files": {}}))
    assert directory.read_manifest(tmp_path) == {}
