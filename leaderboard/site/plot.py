"""Line charts as data: where everything stands on a panel of fixed size, for a template to write as SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, LOW = 420, 280, 200
"""Of a panel, and the height of a low one, in its own units: letters of 12 can be read where it is 330 pixels wide."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 46.0, 12.0, 12.0, 40.0
_TICKS = 5
_ROOM = 0.06
_RADIUS = 4.0


@dataclass(frozen=True)
class Point:
    """A number on a line: ``y`` with its interval, None where there is no number; ``tip`` says all of it in words."""

    x: float
    y: float | None
    tip: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Line:
    """What is drawn of something: its points in order.

    Attributes:
        key: what belongs together over panels, legend and table.
        label: what it is called.
        colour: on white paper, as #rrggbb.
        points: from left to right; the line has a gap where one has no y.
        marker: as matplotlib names it; empty for none.
        dashes: lengths of dash and gap in line widths; empty for a solid line.
        width: of the line; 0 for markers alone.
        faint: whether it stands behind the others.
    """

    key: str
    label: str
    colour: str
    points: tuple[Point, ...]
    marker: str = ""
    dashes: tuple[float, ...] = ()
    width: float = 1.8
    faint: bool = False


@dataclass(frozen=True)
class Tick:
    """A place on an axis, and what is written at it."""

    at: float
    label: str


@dataclass(frozen=True)
class Dot:
    """A point where it is drawn."""

    x: float
    y: float
    tip: str


@dataclass(frozen=True)
class Drawn:
    """A line where it is drawn; ``path``, ``band`` and ``marks`` are path data, empty where there is nothing."""

    line: Line
    path: str
    band: str
    marks: str
    dashes: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Panel:
    """A chart, ready to be written. ``zero``: where 0 is on the axis of y, if it is seen."""

    title: str
    about: str
    x_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    zero: float | None
    drawn: tuple[Drawn, ...]
    height: int
    width: int = WIDTH
    left: float = _LEFT
    right: float = WIDTH - _RIGHT

    @property
    def bottom(self) -> float:
        """Where the axis of x is."""
        return self.height - _BOTTOM


@dataclass(frozen=True)
class Axes:
    """What lines are drawn against.

    Attributes:
        title: of the panel.
        about: the panel in a sentence, for those who do not see it.
        x_label: what the axis of x is.
        x: its ticks, in the units of the points.
        y: what has to be seen beside the points themselves: bounds that panels share, or 0.
        height: of the panel.
    """

    title: str
    about: str
    x_label: str
    x: tuple[tuple[float, str], ...]
    y: tuple[float, ...] = ()
    height: int = HEIGHT


def panel(axes: Axes, lines: Sequence[Line]) -> Panel:
    """Draw lines. What is faint comes first, so that it lies behind."""
    xs = [x for x, _ in axes.x] + [point.x for line in lines for point in line.points]
    ys = [*axes.y, *extent(lines)] or [0.0, 1.0]
    across = _scale(min(xs), max(xs), _LEFT, WIDTH - _RIGHT)
    steps = nice(min(ys), max(ys))
    low, high = min(*ys, steps[0]), max(*ys, steps[-1])
    up = _scale(low, high, axes.height - _BOTTOM, _TOP)
    return Panel(
        title=axes.title,
        about=axes.about,
        x_label=axes.x_label,
        x_ticks=tuple(Tick(across(x), label) for x, label in axes.x),
        y_ticks=tuple(Tick(up(y), label) for y, label in zip(steps, labels(steps), strict=True)),
        zero=up(0.0) if low <= 0 <= high else None,
        height=axes.height,
        drawn=tuple(_drawn(line, across, up) for line in sorted(lines, key=lambda line: not line.faint)),
    )


def extent(lines: Sequence[Line]) -> list[float]:
    """All that is drawn on the axis of y."""
    points = [point for line in lines for point in line.points]
    return [y for point in points for y in (point.y, point.low, point.high) if y is not None]


def nice(low: float, high: float) -> list[float]:
    """Round numbers for the ticks of an axis that is to show from ``low`` to ``high``: about five, 0 if it is near."""
    span = high - low or max(abs(high), 1.0)
    size = 10.0 ** math.floor(math.log10(span / _TICKS))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if span / (size * factor) <= _TICKS + 1e-6)
    first, last = math.ceil(low / step - _ROOM), math.floor(high / step + _ROOM)
    if last - first < 1:
        first, last = math.floor(low / step), math.ceil(high / step)
    return [round(i * step, 12) for i in range(first, last + 1)]


def labels(steps: Sequence[float]) -> list[str]:
    """Of ticks: as many decimals on each as it takes for all of them."""
    decimals = max(len(f"{step:.10f}".rstrip("0").partition(".")[2]) for step in steps)
    return [f"{step:,.{decimals}f}".replace("-", "−") for step in steps]


def swatch(line: Line) -> tuple[str, str]:
    """Path data of a short piece of a line and of its marker, for a legend: 28 wide, 12 high."""
    return "M1 6H27" if line.width else "", shape(line.marker, 14.0, 6.0)


def dashes(line: Line) -> str:
    """The dashes of a line, as SVG wants them."""
    return " ".join(_short(line.width * length) for length in line.dashes)


def shape(marker: str, x: float, y: float) -> str:
    """Path data of a marker of matplotlib's; empty where there is none."""
    if not marker:
        return ""
    if marker == "o":
        r = _RADIUS
        return (
            f"M{_short(x - r)} {_short(y)}a{_short(r)} {_short(r)} 0 1 0 {_short(2 * r)} 0a{_short(r)} {_short(r)} "
            f"0 1 0 {_short(-2 * r)} 0Z"
        )
    corners = _SHAPES.get(marker, _SHAPES["s"])
    return "M" + "L".join(f"{_short(x + _RADIUS * dx)} {_short(y + _RADIUS * dy)}" for dx, dy in corners) + "Z"


def _polygon(corners: int, radius: float, turn: float = 0.0) -> list[tuple[float, float]]:
    """The first corner points up, turned by a share of a whole turn."""
    angles = [2 * math.pi * (i / corners + turn) for i in range(corners)]
    return [(radius * math.sin(angle), -radius * math.cos(angle)) for angle in angles]


def _star(points: int, inner: float) -> list[tuple[float, float]]:
    outer, between = _polygon(points, 1.45), _polygon(points, 1.45 * inner, 0.5 / points)
    return [corner for pair in zip(outer, between, strict=True) for corner in pair]


def _cross(turned: bool) -> list[tuple[float, float]]:
    a, b = 0.42, 1.15
    corners = [
        (-a, -b),
        (a, -b),
        (a, -a),
        (b, -a),
        (b, a),
        (a, a),
        (a, b),
        (-a, b),
        (-a, a),
        (-b, a),
        (-b, -a),
        (-a, -a),
    ]
    half = math.sqrt(0.5)
    return [(half * (x - y), half * (x + y)) for x, y in corners] if turned else corners


_SHAPES = {
    "s": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "D": _polygon(4, 1.2),
    "d": [(0.0, -1.3), (0.75, 0.0), (0.0, 1.3), (-0.75, 0.0)],
    "^": _polygon(3, 1.3),
    "v": _polygon(3, 1.3, 0.5),
    ">": _polygon(3, 1.3, 0.25),
    "<": _polygon(3, 1.3, 0.75),
    "p": _polygon(5, 1.15),
    "h": _polygon(6, 1.15),
    "H": _polygon(6, 1.15, 1 / 12),
    "8": _polygon(8, 1.1, 1 / 16),
    "*": _star(5, 0.42),
    "P": _cross(False),
    "X": _cross(True),
}


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    if high == low:
        return lambda value: round((start + end) / 2, 2)
    return lambda value: round(start + (value - low) / (high - low) * (end - start), 2)


def _drawn(line: Line, across: Callable[[float], float], up: Callable[[float], float]) -> Drawn:
    there = [point for point in line.points if point.y is not None]
    return Drawn(
        line=line,
        path=_path(line.points, across, up) if line.width else "",
        band=_band(line.points, across, up),
        marks="".join(shape(line.marker, across(point.x), up(point.y)) for point in there if point.y is not None),
        dashes=dashes(line),
        dots=tuple(Dot(across(point.x), up(point.y), point.tip) for point in there if point.y is not None),
    )


def _path(points: Sequence[Point], across: Callable[[float], float], up: Callable[[float], float]) -> str:
    path, pen = [], "M"
    for point in points:
        if point.y is None:
            pen = "M"
            continue
        path.append(f"{pen}{_short(across(point.x))} {_short(up(point.y))}")
        pen = "L"
    return "".join(path)


def _band(points: Sequence[Point], across: Callable[[float], float], up: Callable[[float], float]) -> str:
    """Around every stretch of points that have bounds; where one stands alone, a bar."""
    stretches: list[list[tuple[float, float, float]]] = [[]]
    for point in points:
        if point.low is None or point.high is None:
            stretches.append([])
        else:
            stretches[-1].append((across(point.x), up(point.low), up(point.high)))
    path = ""
    for stretch in filter(None, stretches):
        if len(stretch) == 1:
            ((x, low, high),) = stretch
            stretch = [(x - 3, low, high), (x + 3, low, high)]
        there = [f"{_short(x)} {_short(high)}" for x, _, high in stretch]
        back = [f"{_short(x)} {_short(low)}" for x, low, _ in reversed(stretch)]
        path += f"M{'L'.join(there + back)}Z"
    return path


def _short(value: float) -> str:
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
