"""Tables as data. On a narrow page a row becomes a card, of which each cell says what it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """A heading; ``numeric`` columns stand right."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Cell:
    """What stands in a place of a table: text, with a fainter part behind it; ``alarm`` where it should be seen."""

    text: str
    faint: str = ""
    alarm: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table; the first cell of a row names it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
