"""Boards → a site in a directory."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Sequence
from pathlib import Path

from lagbench.leaderboard.board import Board
from lagbench.leaderboard.site import SITE, pages

_STATIC = ("static/board.css", "static/board.js")


def build(
    boards: Sequence[Board], out: Path, progress: Callable[[int, int], object] = lambda done, total: None
) -> None:
    """Write the site into a directory, in place of the one of before. The same boards give the same bytes.

    ``progress`` is told how many pages of how many are drawn. Raises as ``SITE.write``.
    """
    root = importlib.resources.files("lagbench.leaderboard")
    static = {name: root.joinpath(name).read_bytes() for name in _STATIC}
    SITE.write(out, {**static, **pages.files(boards, progress)}, {})
