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
# Of no date, so that the same figure gives the same bytes.
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
"""Above and below what sets the limits of an axis, as a share of it."""


@dataclass(frozen=True)
class Picture:
    """A figure with what stands under it; ``name`` is that of its files."""

    name: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Cast:
    """Who is drawn: labels in order, how each looks and what it is called."""

    styles: Mapping[str, Style]
    names: Mapping[str, str]

    @classmethod
    def of(cls, results: Results) -> Cast:
        """All lines of some results."""
        labels = [line.label for line in results.lines]
        return cls(styles([(line.label, line.algorithm) for line in results.lines]), shown(labels))


@contextmanager
def settings(most: int | None = None) -> Iterator[None]:
    """Matplotlib's own settings and nobody else's, and a font's missing signs as boxes without a word.

    Of what is drawn in here at most so many panels stand beside one another.
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
    """A figure of rows × columns axes of a size in inches, and row by row the first ``count``, which are used."""
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes: list[Axes] = figure.subplots(rows, columns, squeeze=False, **sharing).flatten().tolist()
    used = axes[:count]
    for axis in axes[len(used) :]:
        axis.set_axis_off()
    return figure, used


def wrapped(count: int, most: int) -> tuple[int, int]:
    """Rows and columns for so many panels, at most so many beside one another, or as ``settings`` have it."""
    columns = min(count, most, _MOST.get() or most)
    return math.ceil(count / columns), columns


def plain(axes: Axes, grid: str = "both") -> None:
    """Only the lines that are needed."""
    axes.spines[["top", "right"]].set_visible(False)
    if grid == "both":
        axes.grid(True, alpha=0.25, linewidth=0.7)
    else:
        axes.grid(True, axis="x", alpha=0.25, linewidth=0.7)
    axes.tick_params(labelsize=SMALL, length=2.5)


def few_ticks(axes: Axes, x: int | None = None, y: int | None = None) -> None:
    """At most so many ticks."""
    if x:
        axes.xaxis.set_major_locator(MaxNLocator(x, steps=[1, 2, 2.5, 5, 10]))
    if y:
        axes.yaxis.set_major_locator(MaxNLocator(y, steps=[1, 2, 2.5, 5, 10]))


def legend(figure: Figure, cast: Cast) -> None:
    """One for the whole figure, above it, wrapped to its width."""
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
    # A name that begins with _ would be left out.
    names = [f" {name}" if name.startswith("_") else name for name in cast.names.values()]
    width = _LEGEND_ENTRY + _LETTER * max(map(len, names), default=1)
    columns = max(1, min(len(names), int(figure.get_figwidth() / width)))
    rows = math.ceil(len(names) / columns)
    columns = math.ceil(len(names) / rows)
    # The panels keep their size.
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
    """Let the lines of some labels set the limits of y, and say of which others something is cut off; sorted.

    Others are cut off beyond once more what those span. Panels that share an axis have its limits together; where none
    of those lines is, limits stay as they are.
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
    """Format → file."""
    found = {}
    with settings():
        # The same in every format, and found once: with an engine left, each would be drawn twice.
        figure.draw_without_rendering()
        figure.set_layout_engine(None)
        for form in forms:
            out = io.BytesIO()
            figure.savefig(out, format=form, metadata=dict(_METADATA[form]))
            found[form] = out.getvalue()
    return found
