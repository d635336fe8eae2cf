"""Histograms of lag."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lagbench.lag.histogram import Histogram
from lagbench.scoring.plots.canvas import few_ticks, panels, plain, settings

_SIZE = (3.6, 2.4)


def histogram(title: str, found: Histogram) -> Figure:
    """The share of each lag."""
    with settings():
        figure, (axes,) = panels(1, 1, _SIZE)
        axes.bar(np.arange(len(found.counts)), found.shares, width=0.85, color="#0072B2")
        axes.axvline(found.mean, color="#000000", linewidth=1.0, linestyle=(0, (5, 2)))
        axes.set_title(f"{title}: {found.summary()}", fontsize=8.0)
        axes.set_xlabel("backward lag, versions")
        axes.set_ylabel("share")
        axes.set_xlim(-0.7, max(found.largest, 1) + 0.7)
        plain(axes)
        few_ticks(axes, x=8, y=5)
    return figure
