"""The site as files: the same bytes every time, all or nothing, and never over anything else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lagbench.leaderboard.board import Board
from lagbench.leaderboard.site import SITE, build

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
    build.build([more], out)
    assert SITE.check_free(out)
    build.build([less], out)
    assert not (out / SUITE / more.ranked[1].method.key).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    build.build([], out)
    assert set(content(out)) == {"index.html", "site.json", "static/board.css", "static/board.js"}
