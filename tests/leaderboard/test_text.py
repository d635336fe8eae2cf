"""Names and prose of strangers."""

from __future__ import annotations

import pytest

from lagbench.leaderboard.text import fold, line_fault, name_fault, prose_fault, shown


@pytest.mark.parametrize("text", ["PPO", "VACO (δ = 0.2)", "Ünal Şahin", "李明", "O'Neill & Sons", "a  b"])
def test_names(text: str) -> None:
    assert line_fault(text, 60) is None
    assert prose_fault(f"{text}\n\tand {text} < 1", 60) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (7, "must be text, not 7"),
        (None, "must be text, not None"),
        ("", "is empty"),
        (" \n", "is empty"),
        (" a", "has leading or trailing spaces"),
        ("a\n", "has leading or trailing spaces"),
        ("a" * 61, "has 61 characters; at most 60 are allowed"),
        ("a\nb", "unprintable"),
        ("a\x1b[2Jb", "unprintable"),
        ("a\u202eb", "unprintable"),  # turns what follows about
        ("a\u200bb", "unprintable"),
        ("a\ud800b", "unprintable"),
        ("a\u00a0b", "unprintable"),
        ("<b>", "has a < or >"),
    ],
)
def test_what_is_no_name(text: object, fault: str) -> None:
    found = line_fault(text, 60)
    assert found is not None
    assert fault in found
    assert found.isprintable()
    found.encode()


def test_prose_has_lines_and_no_control_characters() -> None:
    assert prose_fault("a\nb\n\n<i>c</i>", 60) is None
    for text in ("a\rb", "a\x00b", "a\u2028b", "a\u2066b"):
        assert "unprintable" in str(prose_fault(text, 60))
    assert "61 characters" in str(prose_fault("\n".join(["a"] * 31), 60))


def test_anything_can_be_shown() -> None:
    assert shown("δ") == "δ"
    assert shown("a\x1b\n\ud800\u202e") == r"a\x1b\n\ud800\u202e"
    assert shown(["a\n", 1.5]) == r"['a\n', 1.5]"
    assert shown(ValueError("no\nway")) == r"no\nway"
    assert shown("x" * 1000) == "x" * 200 + "…"
    assert len(shown({i: "x" * 100 for i in range(100)})) == 201


@pytest.mark.parametrize(
    ("one", "other"), [("PPO", "ΡΡΟ"), ("PPO", "pp0"), ("I-PPO", "l ppo"), ("Vaco", "vácο"), ("µ-net", "μ.net")]
)
def test_names_that_look_alike_are_one(one: str, other: str) -> None:
    assert name_fault(one) is None
    assert name_fault(other) is None
    assert fold(one) == fold(other)


@pytest.mark.parametrize("name", ["РРО", "ᴘᴘᴏ", "a\u200bb", "a\u3000b", "…", "<b>", " a", "\x1b[31m"])
def test_a_name_is_in_letters_that_can_be_told_apart(name: str) -> None:
    assert name_fault(name)
