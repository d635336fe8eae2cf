"""Untrusted text: validation and safe display."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_SHOWN = 200
_MARKUP = re.compile("[<>]")


def shown(value: Any, longest: int = _SHOWN) -> str:
    """A value or error message as one short line of printable characters."""
    text = str(value) if isinstance(value, str | Exception) else repr(value)
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:longest])
    return line + ("…" if len(text) > longest else "")


def line_fault(text: Any, longest: int = 1_000) -> str | None:
    """The fault in a name or another short text; None if it is valid.

    Valid is one line, not empty, of printable characters without ``<`` and ``>``, and without spaces at its ends.
    """
    if fault := _fault(text, longest):
        return fault
    if not text.isprintable():
        return f"has an unprintable character: '{shown(text)}'"
    if _MARKUP.search(text):
        return f"has a < or >: '{shown(text)}'"
    return None


def prose_fault(text: Any, longest: int = 4_000) -> str | None:
    """The fault in a text of several lines; None if it is valid."""
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


# Look-alikes: capitals before case folding, then small letters; l also stands for i, I and 1, and o for 0.
_CAPITALS = str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "abezhlkmnoptyx")
_SMALL = str.maketrans("αβγεικνορτυχωi10", "abyelkvoptuxwllo")


def name_fault(name: str) -> str | None:
    """The fault in the name of a submission; None if it is valid.

    Only Latin and Greek letters are allowed, so that ``fold`` covers all look-alikes.
    """
    if fault := line_fault(name):
        return fault
    for c in _plain(name):
        if not (c.isascii() or (c.isalpha() and unicodedata.name(c, "").startswith("GREEK"))):
            return f"has '{shown(c)}', which is not a Latin or Greek letter, digit or ASCII punctuation mark"
    return None if fold(name) else "has neither a letter nor a digit"


def fold(name: str) -> str:
    """Map names that look alike to the same string; a board has one owner for each."""
    folded = _plain(name).translate(_CAPITALS).casefold().translate(_SMALL)
    return "".join(c for c in folded if c.isalnum())


def _plain(name: str) -> str:
    """Without diacritics, in compatibility decomposition."""
    return "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
