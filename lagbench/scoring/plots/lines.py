"""Lines with bands, and the axis of values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from rliable import plot_utils

from lagbench.scoring import robustness
from lagbench.scoring.plots.canvas import SMALL, Cast, plain
from lagbench.scoring.results import IntervalEstimate
from lagbench.suites import Axis


def band(
    axes: Axes,
    cast: Cast,
    label: str,
    x: Sequence[float],
    found: Sequence[IntervalEstimate | None],
    *,
    shade: float = 0.13,
) -> None:
    """Draw estimates over x as rliable's sample efficiency curve, in the algorithm's style, with a gap at None."""
    look = cast.styles[label]
    if all(one is None for one in found):
        return
    value = np.array([np.nan if one is None else one.value for one in found])
    ends = [(None, None) if one is None else (one.low, one.high) for one in found]
    bounds = np.array(ends, dtype=np.float64).T  # None becomes NaN
    before = len(axes.collections)
    plot_utils.plot_sample_efficiency_curve(
        np.asarray(x, dtype=np.float64),
        {label: value},
        {label: bounds},
        colors={label: look.colour},
        ax=axes,
        marker=look.marker,
        linewidth=1.6,
        xlabel=axes.get_xlabel(),
        ylabel=axes.get_ylabel(),
        labelsize="medium",
        ticklabelsize=SMALL,
        wrect=3,
        hrect=3,
    )
    line = axes.lines[-1]
    line.set(linestyle=look.line, markersize=look.size, markeredgecolor="white", markeredgewidth=0.4)
    line.set_gid(label)
    for shaded in axes.collections[before:]:
        shaded.set(alpha=shade, linewidth=0)


def positions(values: Sequence[int], axis: Axis) -> list[float]:
    """Positions of the values on the axis: log2(1 + L), or log2(U)."""
    return [float(x) for x in robustness.positions(values, axis)]


def value_axis(axes: Axes, values: Sequence[int], axis: Axis) -> None:
    """Set ticks at the values, which are on a logarithmic scale; only some if they are too close."""
    x = positions(values, axis)
    span = max(x[-1] - x[0], 1.0)
    kept = [len(x) - 1]
    for i in range(len(x) - 2, -1, -1):
        if x[kept[-1]] - x[i] >= span / 12:
            kept.append(i)
    kept.reverse()
    axes.set_xticks([x[i] for i in kept], [str(values[i]) for i in kept])
    axes.minorticks_off()
    margin = 0.04 * span
    axes.set_xlim(x[0] - margin, x[-1] + margin)


def finished(axes: Axes) -> None:
    """Finish axes after all lines are drawn, as rliable decorates them with each line."""
    plain(axes)
    for side in ("left", "bottom"):
        axes.spines[side].set_linewidth(0.8)
