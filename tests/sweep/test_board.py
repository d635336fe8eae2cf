"""What a sweep shows on a terminal, and where there is none."""

import functools
import io
from pathlib import Path

import pytest

from lagbench.sinks import console
from lagbench.sweep import board as module
from lagbench.sweep.board import Board
from lagbench.sweep.cells import Planned, State
from tests.sinks.test_console import Terminal
from tests.sweep.conftest import small

OUT = Path("out")


@pytest.fixture
def cells() -> list[Planned]:
    return small(OUT, seeds=range(5))


def write_to(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Terminal", functools.partial(console.Terminal, file=stream))


def tell(board: Board, cells: list[Planned]) -> None:
    board.start({cells[0]: State("completed"), **dict.fromkeys(cells[1:], State("missing"))}, 2)
    board.begun(cells[1])
    board.begun(cells[2])
    board.advanced(cells[1], 0)
    board.advanced(cells[1], 3)
    board.elsewhere(2)
    board.ended(cells[2], State("failed", "AttributeError: no [such] thing"))
    board.left(cells[1])
    board.elsewhere(2)
    board.elsewhere(1)


def test_without_a_terminal_a_line_a_cell(cells: list[Planned], monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    write_to(stream, monkeypatch)
    board = Board(OUT)
    tell(board, cells)
    board.ended(cells[3], State("completed", score=12.34))
    board.stopping()
    board.close()
    name = "InvertedPendulum-v5/ppo/lag0-u20-seed"
    assert stream.getvalue().splitlines() == [
        "5 cells, 4 to run (about 6 s on one core), 2 at a time, in out",
        f"[2/5] failed  {name}2  0 s  AttributeError: no [such] thing",
        "waiting for 1 cell run by other processes",
        f"[3/5] completed  {name}3  12.3",
    ]


def test_on_a_terminal_a_table(cells: list[Planned], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    write_to(terminal, monkeypatch)
    board = Board(OUT)
    tell(board, cells)
    board.begun(cells[1])
    board.advanced(cells[1], 4)
    board.ended(cells[3], State("diverged", "no longer finite"))
    board.stopping()
    board._live.refresh()  # type: ignore[union-attr]
    board.close()
    text = terminal.text
    last = text[text.rindex("━") :]
    assert "3 of 5 done · 1 running · 1 failed · 1 diverged · 1 run elsewhere · " in last
    assert " left" in last
    assert "InvertedPendulum-v5/ppo/lag0-u20-seed1  4 of 5 phases  80%" in last
    assert "stopping at the end of each phase; Ctrl-C again to stop at once" in last
    # The display is gone at the end, and the cursor is back.
    seen = terminal.getvalue()
    assert "\x1b[?25h" in seen[seen.rindex("\x1b[?25l") :]
