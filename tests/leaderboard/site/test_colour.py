"""Lines can be told apart from the paper and from one another, light and dark."""

from __future__ import annotations

import re

import pytest

from lagbench.leaderboard.site import colour
from lagbench.scoring.plots import style

DARK = "#14181d"


def luminance(code: str) -> float:
    """As WCAG 2 has it."""
    channels = [int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("code", [*(look.colour for look in style.BASELINES.values()), "#000000", "#5B3A1E", "#332288"])
def test_dark_paper_has_lighter_colours(code: str) -> None:
    lifted = colour.lifted(code)
    assert re.fullmatch("#[0-9a-f]{6}", lifted)
    assert contrast(lifted, DARK) >= 4.5


def test_known_colours() -> None:
    assert colour.lifted("#000000") == "#ffffff"
    assert colour.lifted("#ffffff") == "#ffffff"
    assert colour.name("#0072B2") == "c-0072b2"


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_a_ramp_goes_from_one_end_to_the_other(count: int) -> None:
    found = colour.ramp(count)
    assert len(set(found)) == count
    assert found[0] == "#2f6690"
    assert count == 1 or found[-1] == "#c8501e"
    assert all(contrast(code, "#ffffff") >= 3 for code in found)
    assert all(contrast(colour.lifted(code), DARK) >= 4.5 for code in found)


def test_rules_for_light_and_dark() -> None:
    rules = colour.rules(["#0072B2", "#000000", "#0072B2"])
    assert rules.count(".c-0072b2 {") == rules.count(".c-000000 {") == 2
    light, dark = rules.split("@media screen and (prefers-color-scheme: dark)")
    assert "color: #0072b2;" in light
    assert "color: #ffffff;" in dark
