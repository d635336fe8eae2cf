"""Text that strangers wrote: what of it is taken, and how the rest is shown."""

from __future__ import annotations

import re
from typing import Any

_SHOWN = 200
_MARKUP = re.compile("[<>]")


def shown(value: Any) -> str:
    """Any value, or what an error says, as one short line of characters that a terminal only prints."""
    text = str(value) if isinstance(value, str | Exception) else repr(value)
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_SHOWN])
    return line + ("…" if len(text) > _SHOWN else "")


def line_fault(text: Any, longest: int) -> str | None:
    """What is wrong with a name or another short text; None where nothing is.

    It is one line, not empty, of printable characters without ``<`` and ``>``, and without spaces at its ends.
    """
    if fault := _fault(text, longest):
        return fault
    if not text.isprintable():
        return f"has a character that cannot be printed: {shown(text)!r}"
    if _MARKUP.search(text):
        return f"has a < or >, which markup begins with: {shown(text)!r}"
    return None


def prose_fault(text: Any, longest: int) -> str | None:
    """What is wrong with a text of several lines; None where nothing is."""
    if fault := _fault(text, longest):
        return fault
    if not text.replace("\n", "").replace("\t", "").isprintable():
        return f"has a character that cannot be printed: {shown(text)!r}"
    return None


def _fault(text: Any, longest: int) -> str | None:
    if not isinstance(text, str):
        return f"must be text, not {shown(text)}"
    if not text.strip():
        return "is empty"
    if text != text.strip():
        return "has spaces at an end"
    if len(text) > longest:
        return f"has {len(text):,} characters, and {longest:,} are allowed"
    return None
