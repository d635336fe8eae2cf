"""What counts as close."""

from __future__ import annotations

from typing import Any

import pytest

from tests.closeness import assert_close

GIVEN: dict[str, Any] = {"a": [1.0, {"b": None, "c": 3}], "d": "x", "e": 0.0, "f": float("nan")}


def test_last_digits_do_not_count() -> None:
    assert_close({**GIVEN, "a": [1.0 + 1e-12, {"b": None, "c": 3}], "e": 1e-17}, GIVEN)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"a": [1.0 + 1e-8, {"b": None, "c": 3}]}, "/a/0"),
        ({"a": [1.0, {"b": 0.0, "c": 3}]}, "/a/1/b"),
        ({"a": [1.0, {"b": None, "c": 4}]}, "/a/1/c"),
        ({"a": [1.0]}, "/a"),
        ({"d": "y"}, "/d"),
        ({"f": 0.0}, "/f"),
        ({"g": 0}, ""),
    ],
)
def test_whatever_else_differs_is_named(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(AssertionError, match=f"^\\(?'?{place}"):
        assert_close({**GIVEN, **changes}, GIVEN)
