"""Text of others is seen as it is, and numbers are written as in print."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagbench.leaderboard.site import text
from lagbench.leaderboard.site.text import IntervalEstimate


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("Ada Łukasiewicz 李", "Ada Łukasiewicz 李"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("abc\u202edcba", "abc⟨U+202E⟩dcba"),  # right-to-left override
        ("a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩"),
        ("va\u200dco", "va⟨U+200D⟩co"),  # an invisible joiner between Latin letters
        ("می\u200cخواهم", "می\u200cخواهم"),  # and where Persian is spelt with one
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("\ufeffx\u00adx", "⟨U+FEFF⟩x⟨U+00AD⟩x"),
        ("\ud800", "⟨U+D800⟩"),
        ("e" + "\u0301" * 50 + "x", "e" + "\u0301" * 4 + "x"),
        ("<b>&amp;", "<b>&amp;"),  # markup is the template's matter
    ],
)
def test_what_is_invisible_is_named(given_text: str, shown: str) -> None:
    assert text.plain(given_text) == shown


@given(st.text())
def test_no_text_hides_anything(whatever: str) -> None:
    shown = text.plain(whatever)
    hidden = [c for c in shown if unicodedata.category(c) in {"Cc", "Cn", "Co", "Cs", "Zl", "Zp"} and c not in "\n\t"]
    assert not hidden
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")
    shown.encode()
    assert "\n" not in text.line(whatever)
    assert text.line(whatever)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://example.org", True),
        ("http://example.org:8080/a/b?c=d&e=f#g", True),
        ("HTTPS://EXAMPLE.ORG/", True),
        ("javascript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        ("data:text/html,<script>1</script>", False),
        ("//example.org", False),
        ("example.org", False),
        ("https://", False),
        ("https:example.org", False),
        ("https://google.com@example.org/", False),
        ("https://example.org/\u202egnp", False),
        ("https://exаmple.org/", False),  # a Cyrillic а
        ('https://example.org/"onclick="x', False),
        ("https://example.org/ x", False),
        ("https://example.org:99999/", False),
        ("https://[::1", False),
        ("file:///etc/passwd", False),
        ("", False),
        ("https://example.org/" + "a" * 3000, False),
    ],
)
def test_only_plain_addresses_are_linked_to(url: str, good: bool) -> None:
    assert text.link(url) == (url if good else None)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0"),
        (1686.4, "1,686"),
        (-72.04, "−72.0"),
        (3.14159, "3.14"),
        (0.8654, "0.865"),
        (0.012345, "0.012"),
        (80.0, "80"),
        (-0.0, "0"),
        (1234567.8, "1,234,568"),
        (-1e99, "−1e+99"),
    ],
)
def test_numbers(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


def test_scores() -> None:
    """A normalised score has two digits, an accuracy three, as in a report."""
    assert text.score(-0.004, "score") == "0.00"
    assert text.score(-0.126, "score") == "−0.13"
    assert text.score(0.8654, "accuracy") == "0.865"
    assert text.interval_estimate(IntervalEstimate(0.5, -0.1, 1.234), "score") == "0.50 [−0.10, 1.23]"
    assert text.interval_estimate(IntervalEstimate(0.878, 0.8682, 0.8862), "accuracy") == "0.878 [0.868, 0.886]"
    assert text.interval_estimate(IntervalEstimate(0.5, None, None), "score") == "0.50"
    assert text.interval_estimate(None, "score") == "–"


def test_cells() -> None:
    """Of a report's tables: one line, the minus sign of print, and no number without end."""
    for table, shown in {
        "-0.12 [-0.30, 0.05]": "−0.12 [−0.30, 0.05]",
        "ppo-kl − Hopper-v5": "ppo-kl − Hopper-v5",
        f"{1e20:.2f}": "1e+20",
        f"[{-1e20:.1f}, 1.00]": "[−1e+20, 1.00]",
        "12345678": "12345678",
        "a\u202eb": "a⟨U+202E⟩b",
        "": "",
    }.items():
        assert text.cell(table) == shown
    numeric = {
        "0.5": True,
        "−0.5 [−1, 0]": True,
        "≥ 16": True,
        "–": True,
        "4 of 8": True,
        "Hopper-v5": False,
        "": False,
    }
    assert {one: text.is_numeric(one) for one in numeric} == numeric
