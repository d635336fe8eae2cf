"""Where things stand on a panel, worked out by hand."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagbench.leaderboard.site import plot
from lagbench.leaderboard.site.plot import Axes, Line, Point


def line(*points: Point, **more: object) -> Line:
    return Line("key", "label", "#000000", points, **more)  # type: ignore[arg-type]


def axes(**more: object) -> Axes:
    return Axes("title", "about", "x", ((0.0, "0"), (4.0, "15")), **more)  # type: ignore[arg-type]


def test_a_panel() -> None:
    """420 × 280: x runs from 46 to 408, y from 240 up to 12."""
    points = (Point(0.0, 1.0, "first", 0.5, 2.0), Point(1.0, 0.0, "second", 0.0, 0.0))
    found = plot.panel(axes(y=(0.0,)), [line(*points, marker="s")])
    assert [(tick.at, tick.label) for tick in found.x_ticks] == [(46.0, "0"), (408.0, "15")]
    assert [(tick.at, tick.label) for tick in found.y_ticks] == [
        (240.0, "0.0"),
        (183.0, "0.5"),
        (126.0, "1.0"),
        (69.0, "1.5"),
        (12.0, "2.0"),
    ]
    (drawn,) = found.drawn
    assert found.zero == found.bottom == 240.0
    assert drawn.path == "M46 126L136.5 240"
    assert drawn.band == "M46 12L136.5 240L136.5 240L46 183Z"
    assert [(dot.x, dot.y, dot.tip) for dot in drawn.dots] == [(46.0, 126.0, "first"), (136.5, 240.0, "second")]
    assert drawn.marks.startswith("M42.48 122.48L49.52 122.48")


def test_what_is_not_there_is_a_gap() -> None:
    points = (Point(0, 1, "a"), Point(1, None, "b"), Point(2, 1, "c"), Point(4, 1, "d", 0.5, 1.5))
    (drawn,) = plot.panel(axes(), [line(*points)]).drawn
    assert drawn.path.count("M") == 2
    assert [dot.tip for dot in drawn.dots] == ["a", "c", "d"]
    assert drawn.band.count("M") == 1  # a bar of six units around the only interval
    assert drawn.band.startswith("M405 ")


def test_nothing_at_all() -> None:
    found = plot.panel(axes(), [line(), line(Point(0, None, ""))])
    assert [drawn.path for drawn in found.drawn] == ["", ""]
    assert found.y_ticks[0].label == "0.0"


def test_what_is_faint_lies_behind() -> None:
    lines = [Line("front", "", "#000000", ()), Line("behind", "", "#000000", (), faint=True)]
    assert [drawn.line.key for drawn in plot.panel(axes(), lines).drawn] == ["behind", "front"]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0, 0.109, ["0.000", "0.025", "0.050", "0.075", "0.100"]),
        (-72, 1382, ["0", "500", "1,000"]),
        (-3, -1, ["−3.0", "−2.5", "−2.0", "−1.5", "−1.0"]),
        (0.997, 0.998, ["0.9970", "0.9972", "0.9974", "0.9976", "0.9978", "0.9980"]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[str]) -> None:
    assert plot.labels(plot.nice(low, high)) == ticks


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-6, 1e6),
)
def test_there_are_always_some_ticks(low: float, span: float) -> None:
    steps = plot.nice(low, low + span)
    assert 2 <= len(steps) <= 7
    assert steps == sorted(set(steps))
    assert plot.nice(low, low)


@pytest.mark.parametrize("marker", ["o", "D", "s", "v", "^", "P", "X", "*", "p", "h", "<", ">", "d", "8", "H", "new"])
def test_every_marker_stands_around_its_place(marker: str) -> None:
    path = plot.shape(marker, 100.0, 50.0)
    assert path.startswith("M")
    assert path.endswith("Z")
    if marker == "o":
        assert path == "M96 50a4 4 0 1 0 8 0a4 4 0 1 0 -8 0Z"
        return
    numbers = [float(number) for number in re.findall(r"-?[0-9.]+", path)]
    corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    assert all(2 <= math.dist(corner, (100, 50)) <= 6 for corner in corners)
    assert abs(sum(x for x, _ in corners) / len(corners) - 100) < 0.5


def test_markers_differ() -> None:
    assert len({plot.shape(marker, 0, 0) for marker in "oDsv^PX*ph<>d8H"}) == 15
    assert plot.shape("", 0, 0) == ""


def test_dashes_are_of_the_line() -> None:
    assert plot.dashes(Line("", "", "#000000", (), dashes=(5.0, 1.4), width=1.5)) == "7.5 2.1"
    assert plot.swatch(Line("", "", "#000000", (), width=0, marker="s"))[0] == ""
