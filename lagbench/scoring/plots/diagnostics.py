"""Figures of diagnostics against the axis, and of scores against measured divergence."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lagbench.scoring.details import Details
from lagbench.scoring.measured import divergence, known, series
from lagbench.scoring.plots import labels
from lagbench.scoring.plots.canvas import SMALL, Cast, legend, panels, wrapped
from lagbench.scoring.plots.lines import band, finished, positions, value_axis
from lagbench.scoring.results import Results

# If one algorithm's numbers are this many times another's, the axis is logarithmic.
_FAR = 30.0
# Smaller shares would be flat on an axis from 0 to 1.
_SMALL_SHARE = 0.2


def diagnostics(results: Results, details: Details) -> Figure:
    """Diagnostics against the axis: means over runs and tasks of each run's mean over phases."""
    cast = Cast.of(results)
    shown = known(details, results.axis)
    rows, columns = wrapped(len(shown), 2 if len(shown) in (2, 4) else 3)
    figure, axes = panels(rows, columns, (3.7, 2.75), count=len(shown), sharex=True)
    x = positions(results.values, results.axis)
    for i, (axis, quantity) in enumerate(zip(axes, shown, strict=True)):
        axis.set_title(quantity.title, fontsize="medium")
        everything: list[float] = []
        for line in details.lines:
            if found := series(line, quantity):
                band(axis, cast, line.label, x, found)
                everything += [one.value for one in found if one is not None]
        axis.set_ylabel(quantity.unit, fontsize=SMALL + 0.5, parse_math=True)
        finished(axis)
        if min(everything) > 0 and max(everything) > _FAR * float(np.median(everything)):
            axis.set_yscale("log")
            # Its default formatter uses math text, which is disabled here.
            axis.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
        elif quantity.name == "ess" or (quantity.name is None and max(everything) > _SMALL_SHARE):
            axis.set_ylim(-0.03, 1.03)
        else:
            axis.set_ylim(bottom=0)  # show small numbers as small
        value_axis(axis, results.values, results.axis)
        axis.tick_params(labelbottom=i + columns >= len(shown))
    figure.supxlabel(labels.axis_label(results.axis), fontsize=SMALL + 1)
    legend(figure, cast)
    return figure


def against_divergence(results: Results, details: Details) -> Figure:
    """IQM of the final score against the measured divergence, one point per value of the axis."""
    cast = Cast.of(results)
    figure, (axis,) = panels(1, 1, (5.2, 3.6))
    quantity = divergence(results.axis)
    for line, more in zip(results.lines, details.lines, strict=True):
        places = zip(series(more, quantity), line.points, strict=False)
        found = [(x.value, point.final.iqm) for x, point in places if x is not None and point.final is not None]
        look = cast.styles[line.label]
        axis.plot(
            [x for x, _ in found],
            [one.value for _, one in found],
            color=look.colour,
            marker=look.marker,
            linestyle=look.line,
            markersize=look.size,
            linewidth=1.4,
            gid=line.label,
        )
        for x, one in found:
            if one.low is not None and one.high is not None:
                axis.plot([x, x], [one.low, one.high], color=look.colour, linewidth=1.0, alpha=0.5)
    axis.set_xlabel(f"{quantity.title}: {quantity.unit}", fontsize=SMALL + 1, parse_math=True)
    axis.set_ylabel(f"IQM of {labels.SCORE[results.kind]}", fontsize=SMALL + 1)
    axis.set_xlim(left=0)
    finished(axis)
    legend(figure, cast)
    return figure
