"""Formatting of text and numbers for pages. Untrusted text is shown as plain text."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

from lagbench import scoring

IntervalEstimate = scoring.results.IntervalEstimate
Kind = scoring.results.Kind
NOTHING = "–"
_HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # needed by Persian, Indic scripts and emoji
_MARKS = {"Mn", "Me"}
_MOST_MARKS = 4
_URL_LENGTH = 2_000
_LARGE = 1e7
"""From here on, numbers are written with an exponent."""
_LONG = re.compile(r"\d{9,}(\.\d+)?")
_MINUS = re.compile(r"(?<![\w)])-(?=\d)")
_NUMERIC = re.compile(r"[−+-]?[≥\d–]")


def plain(text: str) -> str:
    """Replace invisible characters, and those that change the direction of text, by their code points.

    Newlines, tabs and joiners between non-ASCII letters stay. At most four accents are kept per letter.
    """
    found: list[str] = []
    marks = 0
    for i, sign in enumerate(text):
        category = unicodedata.category(sign)
        marks = marks + 1 if category in _MARKS else 0
        if marks > _MOST_MARKS:
            continue
        joins = sign in _JOINERS and not (text[i - 1 : i] + text[i + 1 : i + 2]).isascii()
        hidden = category in _HIDDEN and sign not in "\n\t" and not joins
        found.append(f"⟨U+{ord(sign):04X}⟩" if hidden else sign)
    return "".join(found)


def line(text: str) -> str:
    """As ``plain``, on one line."""
    return plain(" ".join(text.split())) or "(nothing)"


def link(url: str) -> str | None:
    """A URL that is safe to link to; None unless it is http or https with a plain host."""
    if len(url) > _URL_LENGTH or not url.isascii() or not url.isprintable() or set(url) & set(" \"'<>\\^`{|}"):
        return None
    try:
        parts = urlsplit(url)
        plain_host = bool(parts.hostname) and parts.username is None and parts.password is None
        _ = parts.port
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and plain_host else None


def cell(text: str) -> str:
    """The text of a table cell: one line, with typographic minus signs and long numbers shortened."""
    short = _LONG.sub(lambda found: f"{float(found[0]):.3g}", line(text) if text else "")
    return _MINUS.sub("−", short)


def is_numeric(text: str) -> bool:
    """Whether a text begins as a number does, and is to be aligned right."""
    return _NUMERIC.match(text) is not None


def score(value: float | None, kind: Kind) -> str:
    """A score with a typographic minus sign and as many digits as in a report."""
    return _signed(value, f"{{:.{scoring.sheets.DIGITS[kind]}f}}")


def number(value: float | None) -> str:
    """A return or another number of unknown magnitude: three significant digits, whole numbers in full."""
    if value is None:
        return NOTHING
    size = abs(value)
    if size >= 100 or value == int(value):
        return _signed(value, "{:,.0f}")
    return _signed(value, "{:.1f}" if size >= 10 else "{:.2f}" if size >= 1 else "{:.3f}" if size >= 0.1 else "{:.2g}")


def interval(found: IntervalEstimate | None, kind: Kind) -> str:
    """The bounds of a score's interval; empty if there are none."""
    if found is None or found.low is None or found.high is None:
        return ""
    return f"[{score(found.low, kind)}, {score(found.high, kind)}]"


def interval_estimate(found: IntervalEstimate | None, kind: Kind) -> str:
    """A score with its interval."""
    return NOTHING if found is None else f"{score(found.value, kind)} {interval(found, kind)}".strip()


def _signed(value: float | None, form: str) -> str:
    if value is None:
        return NOTHING
    text = form.format(value) if abs(value) < _LARGE else f"{value:.3g}"
    # A number rounded to zero has no sign.
    return text.removeprefix("-") if not text.strip("-0.") else text.replace("-", "−", 1)
