"""Untrusted text: validation and safe display."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_SHOWN = 200
_MARKUP = re.compile("[<>]")


def shown(value: Any, longest: int = _SHOWN) -> str:
    """Any value, or what an error says, as one short line of characters that a terminal only prints."""
    text = str(value) if isinstance(value, str | Exception) else repr(value)
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:longest])
    return line + ("…" if len(text) > longest else "")


def line_fault(text: Any, longest: int = 1_000) -> str | None:
    """What is wrong with a name or another short text; None where nothing is.

    It is one line, not empty, of printable characters without ``<`` and ``>``, and without spaces at its ends.
    """
    if fault := _fault(text, longest):
        return fault
    if not text.isprintable():
        return f"has an unprintable character: '{shown(text)}'"
    if _MARKUP.search(text):
        return f"has a < or >: '{shown(text)}'"
    return None


def prose_fault(text: Any, longest: int = 4_000) -> str | None:
    """What is wrong with a text of several lines; None where nothing is."""
    if fault := _fault(text, longest):
        return fault
    if not text.replace("\n", "").replace("\t", "").isprintable():
        return f"has an unprintable character: '{shown(text)}'"
    return None


def _fault(text: Any, longest: int) -> str | None:
    if not isinstance(text, str):
        return f"must be text, not {shown(text)}"
    if not text.strip():
        return "is empty"
    if text != text.strip():
        return "has leading or trailing spaces"
    if len(text) > longest:
        return f"has {len(text):,} characters; at most {longest:,} are allowed"
    return None


# As an eye takes them: capitals before they are folded, then small letters; l stands for i, I and 1 too, o for 0.
_CAPITALS = str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abezhlkmnoptyx")
_SMALL = str.maketrans("αβγεικνορτυχωi10", "abyelkvoptuxwllo")


def name_fault(name: str) -> str | None:
    """What is wrong with the name of a submission; None where nothing is.

    It is a line in Latin or Greek letters, which can be told apart: see ``fold``.
    """
    if fault := line_fault(name):
        return fault
    for c in _plain(name):
        if not (c.isascii() or (c.isalpha() and unicodedata.name(c, "").startswith("GREEK"))):
            return f"has '{shown(c)}', which is not a Latin or Greek letter, digit or ASCII punctuation mark"
    return None if fold(name) else "has neither a letter nor a digit"


def fold(name: str) -> str:
    """What of a name an eye can tell: names that fold to the same have one owner on a board."""
    folded = _plain(name).translate(_CAPITALS).casefold().translate(_SMALL)
    return "".join(c for c in folded if c.isalnum())


def _plain(name: str) -> str:
    """Without what stands above and below letters, and in one spelling of each."""
    return "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
