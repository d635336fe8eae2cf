"""The documents show what the committed tables of runs give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import tables

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def close(one: str, other: str) -> bool:
    """Whether texts are the same but for the last digit of a number, which another CPU may round the other way."""
    if NUMBER.sub("#", one) != NUMBER.sub("#", other):
        return False
    pairs = zip(NUMBER.findall(one), NUMBER.findall(other), strict=True)
    return all(float(a) == pytest.approx(float(b), abs=1.01 * 10.0 ** -len(a.partition(".")[2])) for a, b in pairs)


@pytest.mark.parametrize("document", tables.documents(), ids=lambda path: path.name)
def test_a_document_shows_them(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert close(tables.written(text), text), "python -m scripts.tables writes them again"


def test_every_table_is_shown() -> None:
    texts = [document.read_text(encoding="utf-8") for document in tables.documents()]
    shown = [block[2] for text in texts for block in tables.BLOCK.finditer(text)]
    assert sorted(shown) == sorted(tables.TABLES)


def test_close() -> None:
    assert close("| ppo | 0.12, -3 |", "| ppo | 0.13, -3 |")
    assert not close("| ppo | 0.12, -3 |", "| ppo | 0.14, -3 |")
    assert not close("| ppo | 0.12, -3 |", "| ppo | 0.12, 3 |")
    assert not close("| ppo | 0.12, -3 |", "| ppo | 0.12 |")
