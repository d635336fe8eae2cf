"""The two rules, on what trips people up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagbench.tasks.gsm8k import grading
from lagbench.tasks.gsm8k.grading import extract_flexible, extract_strict, grade

LONG = "so many words and no answer, " * 345


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        ("#### 42", "42", "42"),
        ("#### 42 apples", "42", "42"),
        ("It is 42.\n#### 42.", "42", "42"),
        ("#### -3", "-3", "-3"),
        ("#### 1,234", "1234", "1234"),
        # A currency sign is none of the strict rule's business, and cents stay cents.
        ("#### $1,234.50", None, "1234.50"),
        ("He pays $1,234.50", None, "1234.50"),
        ("-$3", None, "-3"),
        # Two markers: the strict rule takes the first, the flexible one the last number of all.
        ("#### 5\nno, wait\n#### 6", "5", "6"),
        ("#### 5 of 7", "5", "7"),
        # One space, neither none nor two.
        ("####42", None, "42"),
        ("####  42", None, "42"),
        ("### 42", None, "42"),
        ("##### 42", "42", "42"),
        ("The answer is 42", None, "42"),
        ("-3", None, "-3"),
        ("42.", None, "42"),
        ("7 - 3", None, "3"),
        ("7-3", None, "-3"),
        ("no number", None, None),
        ("", None, None),
        ("####", None, None),
        ("#### .", None, None),
        ("#### ,,, 5", None, "5"),
        ("I think 42...", None, "42"),
        ("42 or so ...", None, "42"),
        ("$$$", None, None),
        ("0.5", None, "0.5"),
        # Only ASCII digits are digits.
        ("#### ٤٢", None, None),
        ("#### 四十二", None, None),
        ("#### ４２", None, None),
        ("#### 42²", "42", "42"),
        (LONG, None, None),
        (LONG + "#### 9", "9", "9"),
        ("." * 10_000, None, None),
        ("$" * 10_000 + "1", None, "1"),
    ],
)
def test_what_is_extracted(text: str, strict: str | None, flexible: str | None) -> None:
    assert extract_strict(text) == strict
    assert extract_flexible(text) == flexible


def test_a_grade_is_by_text_in_normal_form() -> None:
    assert len(LONG) > 10_000
    assert grade("#### 1,234", "1234").correct
    assert not grade("#### 42.0", "42").correct
    mixed = grade("#### 5, so he has 6", "6")
    assert (mixed.correct, mixed.correct_flexible) == (False, True)
    nothing = grade("I do not know", "6")
    assert nothing == grading.Grade(None, None, False, False)


@given(st.integers(-(10**12), 10**12), st.text(st.characters(blacklist_characters="#0123456789.,$-"), max_size=20))
def test_a_marked_number_is_found(number: int, words: str) -> None:
    text = f"{words}\n#### {number:,} {words}"
    assert grade(text, str(number)) == grading.Grade(str(number), str(number), True, True)


def harness(text: str) -> tuple[str | None, str | None]:
    """What lm-evaluation-harness extracts and then compares, by its two filters: gsm8k.yaml, written out."""

    def normal(x: str) -> str:
        for pattern in (",", r"\$", r"(?s).*#### ", r"\.$"):
            x = re.sub(pattern, "", x)
        return x

    marked = re.findall(r"#### (\-?[0-9\.\,]+)", text)
    numbers = re.findall(r"(-?[$0-9.,]{2,})|(-?[0-9]+)", text)
    strict = normal(marked[0]) if marked else None
    return strict, normal(next(x for x in numbers[-1] if x)) if numbers else None


@given(st.text(st.sampled_from("#$-.,0123456789 x\n"), max_size=60))
def test_as_the_harness_has_it(text: str) -> None:
    """But for what is no number at all, and for several points at the end."""
    for own, theirs in zip((extract_strict(text), extract_flexible(text)), harness(text), strict=True):
        if theirs is None or (re.search("[0-9]", theirs) and not theirs.endswith(".")):
            assert own == theirs


def test_where_the_harness_differs_is_documented() -> None:
    docs = (Path(__file__).parents[3] / "docs" / "gsm8k.md").read_text(encoding="utf-8")
    table = docs.split("| completion | strict, here |", 1)[1].split("\n\n", 1)[0]
    rows = [re.findall(r"\| (?:`([^`]*)`|–)(?= \|)", line) for line in table.splitlines()[2:]]
    assert len(rows) == 10
    for text, *expected in rows:
        pairs = zip((extract_strict(text), extract_flexible(text)), harness(text), strict=True)
        # No answer and one of no characters look alike here.
        assert [x or "" for pair in pairs for x in pair] == [x.strip() for x in expected], text


def test_the_version_is_known() -> None:
    """A change of the rules makes another version: change this number with them, and what the cases above say."""
    assert grading.VERSION == 1
