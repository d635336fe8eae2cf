"""Figures without pyplot: panels with a shared legend, and reproducible files."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lagbench.scoring.plots.style import SETTINGS, Style, shown, styles
from lagbench.scoring.results import Results

FORMATS = ("pdf", "svg", "png")
# Without dates, so that the same figure gives the same bytes.
_METADATA: Mapping[str, Mapping[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None},
    "svg": {"Date": None},
    "png": {},
}
_LEGEND_ENTRY = 0.62
_LETTER = 0.07
SMALL = 8.0
_MOST: ContextVar[int | None] = ContextVar("panels beside one another", default=None)
_ROOM = 0.08
"""Margin above and below the data that set the limits of an axis, as a share of their range."""


@dataclass(frozen=True)
class Picture:
    """A figure with its title and caption; ``name`` is the base name of its files."""

    name: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Cast:
    """The lines of a figure: style and displayed name by label, in order."""

    styles: Mapping[str, Style]
    names: Mapping[str, str]

    @classmethod
    def of(cls, results: Results) -> Cast:
        """The cast of all lines of some results."""
        labels = [line.label for line in results.lines]
        return cls(styles([(line.label, line.algorithm) for line in results.lines]), shown(labels))


@contextmanager
def settings(most: int | None = None) -> Iterator[None]:
    """Use matplotlib's defaults with ``SETTINGS``, whatever the user's, without warnings of missing glyphs.

    Figures drawn in this context have at most ``most`` panels per row.
    """
    token = _MOST.set(most)
    try:
        with _settings():
            yield
    finally:
        _MOST.reset(token)


@contextmanager
def _settings() -> Iterator[None]:
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        parameters: Any = mpl.rcParams
        parameters.update(SETTINGS)
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def panels(
    rows: int, columns: int, size: tuple[float, float], *, count: int | None = None, **sharing: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of rows × columns axes, each of ``size`` inches, and its first ``count`` axes, row by row."""
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes: list[Axes] = figure.subplots(rows, columns, squeeze=False, **sharing).flatten().tolist()
    used = axes[:count]
    for axis in axes[len(used) :]:
        axis.set_axis_off()
    return figure, used


def wrapped(count: int, most: int) -> tuple[int, int]:
    """Rows and columns for ``count`` panels, with at most ``most`` per row, or fewer by ``settings``."""
    columns = min(count, most, _MOST.get() or most)
    return math.ceil(count / columns), columns


def plain(axes: Axes, grid: str = "both") -> None:
    """Remove unneeded spines and lighten the grid."""
    axes.spines[["top", "right"]].set_visible(False)
    if grid == "both":
        axes.grid(True, alpha=0.25, linewidth=0.7)
    else:
        axes.grid(True, axis="x", alpha=0.25, linewidth=0.7)
    axes.tick_params(labelsize=SMALL, length=2.5)


def few_ticks(axes: Axes, x: int | None = None, y: int | None = None) -> None:
    """Limit the number of ticks."""
    if x:
        axes.xaxis.set_major_locator(MaxNLocator(x, steps=[1, 2, 2.5, 5, 10]))
    if y:
        axes.yaxis.set_major_locator(MaxNLocator(y, steps=[1, 2, 2.5, 5, 10]))


def legend(figure: Figure, cast: Cast) -> None:
    """Add one legend for the whole figure, above it, wrapped to its width."""
    handles = [
        Line2D(
            [],
            [],
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            linewidth=1.8,
            markersize=look.size + 1,
            label="",
        )
        for look in cast.styles.values()
    ]
    # matplotlib leaves out names that begin with _.
    names = [f" {name}" if name.startswith("_") else name for name in cast.names.values()]
    width = _LEGEND_ENTRY + _LETTER * max(map(len, names), default=1)
    columns = max(1, min(len(names), int(figure.get_figwidth() / width)))
    rows = math.ceil(len(names) / columns)
    columns = math.ceil(len(names) / rows)
    # Make room, so that the panels keep their size.
    figure.set_figheight(figure.get_figheight() + 0.2 * rows + 0.15)
    figure.legend(
        handles,
        names,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        fontsize=SMALL + 0.5,
        handlelength=3.2,
    )


def bounded(figure: Figure, labels: Container[str]) -> list[str]:
    """Let the lines of some labels set the limits of y; return the labels of other lines that are cut off, sorted.

    Other lines extend the limits by at most the span of these lines on either side, and are cut off beyond. Panels with
    a shared axis have common limits; without a line of these labels, the limits stay.
    """
    cut = set()
    for axes in figure.axes:
        panels = [one for one in figure.axes if axes.get_shared_y_axes().joined(axes, one)]
        drawn = [
            (str(line.get_gid()), _finite(line.get_ydata()), _finite(_heights(shade)))
            for one in panels
            for line, shade in zip(one.lines, one.collections, strict=True)
        ]
        own = np.concatenate([np.empty(0), *(y for label, *both in drawn if label in labels for y in both)])
        if not len(own):
            continue
        low, high = float(own.min()), float(own.max())
        span = (high - low) or 1.0
        kept = own
        for label, line, _ in drawn:
            inside = (line >= low - span) & (line <= high + span)
            kept = np.concatenate([kept, line[inside]])
            if not inside.all():
                cut.add(label)
        room = _ROOM * (float(np.ptp(kept)) or 1.0)
        axes.set_ylim(float(kept.min()) - room, float(kept.max()) + room)
    return sorted(cut)


def _heights(shade: Collection) -> list[float]:
    return [float(y) for path in shade.get_paths() for y in np.asarray(path.vertices)[:, 1]]


def _finite(values: Any) -> Any:
    found = np.asarray(values, dtype=np.float64)
    return found[np.isfinite(found)]


def written(figure: Figure, forms: Sequence[str] = FORMATS) -> dict[str, bytes]:
    """Format → content of the file."""
    found = {}
    with settings():
        # Lay out once for all formats; with a layout engine, each would be drawn twice.
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
        for form in forms:
            out = io.BytesIO()
            figure.savefig(out, format=form, metadata=dict(_METADATA[form]))
            found[form] = out.getvalue()
    return found
