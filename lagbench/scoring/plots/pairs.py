"""A figure of all pairs of algorithms."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lagbench.scoring.details import Details
from lagbench.scoring.plots.canvas import SMALL, Cast, panels, wrapped
from lagbench.scoring.results import Results
from lagbench.scoring.significance import apart

_CELL = 0.36
_LETTER = 0.07
"""Inches per cell, and per letter of a name."""
_DARK = 0.35
"""Distance from 0.5 beyond which a cell is dark and its text white."""


def pairs(results: Results, details: Details) -> Figure:
    """The probability that a run of the row's algorithm scores above one of the column's, one panel per value."""
    names = Cast.of(results).names
    count = len(results.values)
    side = _CELL * len(results.lines) + _LETTER * max(map(len, names.values())) + 0.4
    rows, columns = wrapped(count, 3)
    figure, axes = panels(rows, columns, (side, side), count=count)
    for i, (axis, value) in enumerate(zip(axes, results.values, strict=True)):
        axis.set_title(f"{results.axis} {value}", fontsize="medium")
        _matrix(axis, results, i)
        ticks = range(len(results.lines))
        labels = [names[line.label] for line in results.lines]
        axis.set_xticks(ticks, labels, rotation=90, fontsize=SMALL)
        axis.set_yticks(ticks, labels if i % columns == 0 else [], fontsize=SMALL)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
    return figure


def _matrix(axes: Axes, results: Results, value: int) -> None:
    place = {line.label: i for i, line in enumerate(results.lines)}
    shown = np.full((len(place), len(place)), np.nan)
    for pair in results.comparisons:
        found = pair.improvements[value]
        if found is None:
            continue
        one, other = place[pair.first], place[pair.second]
        shown[one, other], shown[other, one] = found.value, 1 - found.value
        star = "*" * apart(pair.ps[value])
        for row, column in ((one, other), (other, one)):
            share = shown[row, column]
            colour = "white" if abs(share - 0.5) > _DARK else "black"
            axes.text(column, row, f"{share:.2f}{star}", ha="center", va="center", fontsize=SMALL - 1.5, color=colour)
    axes.imshow(shown, cmap="PuOr", vmin=0, vmax=1)
