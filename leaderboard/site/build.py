"""Boards → a site: its pages, static files, and the archive of every submission."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Sequence
from pathlib import Path

from lagbench.leaderboard.board import Board
from lagbench.leaderboard.site import archive, directory, pages
from lagbench.leaderboard.site.pages import Archive

_STYLES, _SCRIPT = "static/board.css", "static/board.js"
Progress = Callable[[int, int], object]


def build(boards: Sequence[Board], out: Path, progress: Progress = lambda done, total: None) -> None:
    """Write the site into a directory, in place of the one of before. The same boards give the same bytes.

    ``progress`` is told how many archives of how many are made. Raises as ``directory.replacing``.
    """
    with directory.replacing(out) as made:
        archives = _archives(boards, made, progress)
        for name, data in {**_static(boards), **pages.pages(boards, archives)}.items():
            file = made / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)


def _archives(boards: Sequence[Board], made: Path, progress: Progress) -> dict[tuple[str, str], Archive]:
    found: dict[tuple[str, str], Archive] = {}
    entries = [(board, entry) for board in boards for entry in board.entries]
    for board, entry in entries:
        file = made / board.suite.name / f"{entry.slug}.zip"
        file.parent.mkdir(exist_ok=True)
        archive.write(file, entry.files)
        found[board.suite.name, entry.slug] = Archive(file.stat().st_size, directory.digest(file))
        progress(len(found), len(entries))
    return found


def _static(boards: Sequence[Board]) -> dict[str, bytes]:
    """The style sheet, with the colours of these boards, and the script."""
    root = importlib.resources.files("lagbench.leaderboard")
    found = {name: root.joinpath(name).read_bytes() for name in (_STYLES, _SCRIPT)}
    found[_STYLES] += f"\n/* Lines */\n{pages.colours(boards)}".encode()
    return found
