"""Write boards as a site."""

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
    """Write the site into a directory, replacing an earlier one. The same boards give the same bytes.

    ``progress`` is called with the number of pages drawn and in total. Raises as ``SITE.write``.
    """
    root = importlib.resources.files("lagbench.leaderboard")
    static = {name: root.joinpath(name).read_bytes() for name in _STATIC}
    SITE.write(out, {**static, **pages.files(boards, progress)}, {})
