"""Computed numbers beside committed ones, whose last digits are those of another CPU."""

from __future__ import annotations

import math
from typing import Any

RELATIVE = 1e-9
ABSOLUTE = 1e-12
"""Of what may be 0."""


def assert_close(found: Any, expected: Any, place: str = "") -> None:
    """What JSON holds, dictionaries and lists of one another: equal, but for digits of floats that nobody reads."""
    if isinstance(expected, dict) and isinstance(found, dict):
        assert found.keys() == expected.keys(), place
        for name, one in expected.items():
            assert_close(found[name], one, f"{place}/{name}")
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        assert len(found) == len(expected), place
        for i, pair in enumerate(zip(found, expected, strict=True)):
            assert_close(*pair, f"{place}/{i}")
    elif isinstance(expected, float) and isinstance(found, float):
        both_nan = math.isnan(found) and math.isnan(expected)
        assert both_nan or math.isclose(found, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE), (place, found, expected)
    else:
        assert found == expected, place
