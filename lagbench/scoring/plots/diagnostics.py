"""What was measured in training against the axis: why scores fall as they do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lagbench.scoring.details import Details, LineDetails
from lagbench.scoring.plots import words
from lagbench.scoring.plots.canvas import SMALL, Cast, legend, panels, wrapped
from lagbench.scoring.plots.lines import band, finished, positions, value_axis
from lagbench.scoring.results import Estimate, Results

HELD = "_fraction"
"""How the name of a metric ends that says which share of the samples an algorithm clips, filters, truncates, …"""
# Where one algorithm's numbers are so many times another's, only a logarithmic axis shows both.
_FAR = 30.0
# Below it, a share held back would lie flat on the floor of an axis from 0 to 1.
_SMALL_SHARE = 0.2


@dataclass(frozen=True)
class Panel:
    """One quantity. ``name`` is the diagnostic's; None: the algorithm's own share of samples held back."""

    name: str | None
    title: str
    unit: str


_TV = Panel("tv", "TV after the updates", r"TV($\pi$, $\beta$)")
_KL = Panel("kl", "KL after the updates", r"KL($\beta$‖$\pi$), nats")
_SHARE = Panel(None, "clipped, filtered, truncated", "share of samples")
PANELS: Mapping[str, tuple[Panel, ...]] = {
    "lag": (
        Panel("tv_backward", "TV before the updates", r"TV($\pi_T$, $\beta$)"),
        Panel("tv_forward", "TV made by the updates", r"TV($\pi$, $\pi_T$)"),
        _TV,
        Panel("ess", "ESS before the updates", "share of samples"),
        _KL,
        _SHARE,
    ),
    # w and its ESS are constant within a phase: what forward lag moves is ρ.
    "updates": (_TV, _KL, Panel("updates_made", "updates made", "updates a phase"), _SHARE),
}


def held(line: LineDetails) -> str | None:
    """The metric in which a line says what share of its samples it holds back: the first that is called so."""
    names = sorted({name for point in line.points for name in point.measured if name.endswith(HELD)})
    return names[0] if names else None


def known(details: Details, axis: str) -> list[Panel]:
    """The panels for which something was measured."""
    return [panel for panel in PANELS[axis] if any(_series(line, panel) for line in details.lines)]


def diagnostics(results: Results, details: Details) -> Figure:
    """Means over runs and tasks of what was measured, each a mean over the phases of a run, against the axis."""
    cast = Cast.of(results)
    shown = known(details, results.axis)
    rows, columns = wrapped(len(shown), 2 if len(shown) in (2, 4) else 3)
    figure, axes = panels(rows, columns, (3.7, 2.75), count=len(shown), sharex=True)
    x = positions(results.values, results.axis)
    for i, (axis, panel) in enumerate(zip((axis for row in axes for axis in row), shown, strict=False)):
        axis.set_title(panel.title, fontsize="medium")
        everything: list[float] = []
        for line in details.lines:
            if series := _series(line, panel):
                band(axis, cast, line.label, x, series)
                everything += [one.value for one in series if one is not None]
        axis.set_ylabel(panel.unit, fontsize=SMALL + 0.5, parse_math=True)
        finished(axis)
        if min(everything) > 0 and max(everything) > _FAR * float(np.median(everything)):
            axis.set_yscale("log")
            # Its own formatter writes formulas, which no text here is.
            axis.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
        elif panel.name == "ess" or (panel.name is None and max(everything) > _SMALL_SHARE):
            axis.set_ylim(-0.03, 1.03)
        else:
            axis.set_ylim(bottom=0)  # what is small looks small
        value_axis(axis, results.values, results.axis)
        axis.tick_params(labelbottom=i + columns >= len(shown))
    figure.supxlabel(words.axis_label(results.axis), fontsize=SMALL + 1)
    legend(figure, cast, [line.label for line in results.lines])
    return figure


def _series(line: LineDetails, panel: Panel) -> list[Estimate | None]:
    name = held(line) if panel.name is None else panel.name
    found = [point.measured.get(name) if name else None for point in line.points]
    return found if any(one is not None for one in found) else []
