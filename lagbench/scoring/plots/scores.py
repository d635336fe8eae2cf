"""Figures of scores: interval estimates, against the axis, over training, by threshold, by task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rliable import plot_utils

from lagbench.scoring.details import Details
from lagbench.scoring.plots import labels
from lagbench.scoring.plots.canvas import SMALL, Cast, few_ticks, legend, panels, plain, wrapped
from lagbench.scoring.plots.lines import band, finished, positions, value_axis
from lagbench.scoring.results import Aggregates, IntervalEstimate, Point, Results

MEASURES = {"final": "final score", "area": "area under the curve"}
AGGREGATES = {"iqm": "IQM", "median": "median", "mean": "mean", "optimality_gap": "optimality gap"}
_ROW = 0.19
_LETTER = 0.1
"""Inches per letter of a row's name, which is vertical beside the row."""


def intervals(results: Results, details: Details) -> Figure:
    """Final scores: one row of panels per value, one column per aggregate."""
    cast = Cast.of(results)
    names = [f"{results.axis} {value}" for value in results.values]
    height = max(_height(results), _LETTER * max(map(len, names)))
    figure, axes = panels(len(results.values), len(AGGREGATES), (2.35, height), sharex="col")
    _widen(figure, cast)
    for i, row in enumerate(names):
        for j, (name, title) in enumerate(AGGREGATES.items()):
            axis = axes[i * len(AGGREGATES) + j]
            _bars(axis, results, cast, [_aggregate(line.points[i], "final", name) for line in results.lines], j == 0)
            if i == 0:
                axis.set_title(title, fontsize="medium")
            if j == 0:
                axis.set_ylabel(row, fontsize="medium", fontweight="bold")
    _outer(axes, labels.SCORE[results.kind])
    return figure


def area(results: Results, details: Details) -> Figure:
    """IQM of the area under the curve, one panel per value."""
    cast = Cast.of(results)
    rows, columns = _layout(len(results.values))
    size = (2.9 if columns > 1 else 4.2, _height(results))
    figure, axes = panels(rows, columns, size, count=len(results.values), sharex=True)
    _widen(figure, cast)
    for i, (axis, value) in enumerate(zip(axes, results.values, strict=True)):
        found = [_aggregate(line.points[i], "area", "iqm") for line in results.lines]
        _bars(axis, results, cast, found, i % columns == 0)
        axis.set_title(f"{results.axis} {value}", fontsize="medium")
    _outer(axes, f"IQM of the area under the curve of the {labels.SCORE[results.kind]}")
    return figure


def _height(results: Results) -> float:
    return max(_ROW * len(results.lines) + 0.4, 0.8)


def _widen(figure: Figure, cast: Cast) -> None:
    """Widen the figure for the names beside the first column, and for ticks and labels below the last row."""
    figure.set_figheight(figure.get_figheight() + 0.5)
    figure.set_figwidth(figure.get_figwidth() + 0.075 * max(map(len, cast.names.values())))


def _aggregate(point: Point, measure: str, name: str) -> IntervalEstimate | None:
    found: Aggregates | None = getattr(point, measure)
    one: IntervalEstimate | None = getattr(found, name, None)
    return one


def _bars(axes: Axes, results: Results, cast: Cast, found: Sequence[IntervalEstimate | None], named: bool) -> None:
    """Draw estimates and intervals as rliable does, whose function would use pyplot."""
    labels = [line.label for line in results.lines]
    for y, (label, one) in enumerate(zip(labels, found, strict=True)):
        look = cast.styles[label]
        if one is None:
            place = axes.get_yaxis_transform()
            axes.text(0.02, y, "not complete", transform=place, va="center", fontsize=7, color="0.4")
            continue
        if one.low is not None and one.high is not None:
            axes.barh(y, one.high - one.low, left=one.low, height=0.62, color=look.colour, alpha=0.6)
        axes.plot([one.value], [y], linestyle="", marker=look.marker, color=look.colour, markersize=4.6, gid=label)
        axes.plot([one.value] * 2, [y - 0.31, y + 0.31], color="black", linewidth=1.1, alpha=0.75)
    axes.use_sticky_edges = False  # a bar does not end at the edge
    axes.margins(x=0.06)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.set_yticks(range(len(labels)), [cast.names[label] if named else "" for label in labels])
    plain(axes, "x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    few_ticks(axes, x=4)


def against_axis(results: Results, details: Details) -> Figure:
    """IQM of the final score and of the area under the curve against the axis."""
    cast = Cast.of(results)
    rows, columns = wrapped(len(MEASURES), len(MEASURES))
    figure, axes = panels(rows, columns, (4.6, 3.5), sharey=True)
    x = positions(results.values, results.axis)
    for axis, (measure, title) in zip(axes, MEASURES.items(), strict=True):
        axis.set_title(title, fontsize="medium")
        for line in results.lines:
            band(axis, cast, line.label, x, [_aggregate(point, measure, "iqm") for point in line.points])
        finished(axis)
        value_axis(axis, results.values, results.axis)
    _outer(axes, labels.axis_label(results.axis), f"IQM of {labels.SCORE[results.kind]}")
    legend(figure, cast)
    return figure


def training(results: Results, details: Details) -> Figure:
    """IQM over the budget, one panel per value."""
    cast = Cast.of(results)
    rows, columns = _layout(len(results.values))
    figure, axes = panels(rows, columns, _size(columns), count=len(results.values), sharex=True, sharey=True)
    scale, label = labels.budget(details.unit, details.budget)
    x = [fraction * details.budget / scale for fraction in details.fractions]
    for i, (axis, value) in enumerate(zip(axes, results.values, strict=True)):
        axis.set_title(f"{results.axis} {value}", fontsize="medium")
        for line in details.lines:
            if line.points[i].curve:
                band(axis, cast, line.label, x, line.points[i].curve)
        finished(axis)
        few_ticks(axis, x=5)
    _outer(axes, label, f"IQM of {labels.SCORE[results.kind]}")
    legend(figure, cast)
    return figure


def profiles(results: Results, details: Details) -> Figure:
    """The share of runs with final scores above a threshold: rliable's performance profiles, one panel per value."""
    cast = Cast.of(results)
    rows, columns = _layout(len(results.values))
    figure, axes = panels(rows, columns, _size(columns), count=len(results.values), sharex=True, sharey=True)
    for i, (axis, value) in enumerate(zip(axes, results.values, strict=True)):
        axis.set_title(f"{results.axis} {value}", fontsize="medium")
        found = {line.label: line.points[i].profile for line in details.lines if line.points[i].profile}
        plot_utils.plot_performance_profiles(
            {label: np.array([one.value for one in profile]) for label, profile in found.items()},
            np.array(details.thresholds),
            {
                label: np.array([[one.low for one in profile], [one.high for one in profile]], dtype=np.float64)
                for label, profile in found.items()
                if profile[0].low is not None
            },
            colors={label: look.colour for label, look in cast.styles.items()},
            linestyles={label: look.line for label, look in cast.styles.items()},
            alpha=0.1,
            ax=axis,
            xlabel="",
            ylabel="",
            ticklabelsize=SMALL,
            wrect=3,
            hrect=3,
        )
        for line, label in zip(axis.lines, found, strict=True):
            line.set(linewidth=1.6, gid=label)
        finished(axis)
        few_ticks(axis, x=5)
        axis.set_ylim(-0.03, 1.03)
    _outer(axes, f"{labels.SCORE[results.kind]} τ", "share of runs above τ")
    legend(figure, cast)
    return figure


def tasks_against_axis(results: Results, details: Details) -> Figure:
    """Mean final score, or return, of each task against the axis."""
    cast = Cast.of(results)
    rows, columns = wrapped(len(results.tasks), 3)
    figure, axes = panels(rows, columns, (3.7 if columns > 1 else 5.2, 3.1), count=len(results.tasks), sharex=True)
    x = positions(results.values, results.axis)
    for t, (axis, task) in enumerate(zip(axes, results.tasks, strict=True)):
        axis.set_title(task, fontsize="medium")
        for line in results.lines:
            band(axis, cast, line.label, x, [point.tasks[t].final for point in line.points])
        finished(axis)
        value_axis(axis, results.values, results.axis)
    _outer(axes, labels.axis_label(results.axis), f"final {labels.SCORE[results.kind]}")
    legend(figure, cast)
    return figure


def tasks_training(results: Results, details: Details) -> Figure:
    """Mean score, or return, over the budget: one row per task, one column per value."""
    cast = Cast.of(results)
    count = len(results.values)
    rows, columns = wrapped(count, count)
    size = (max(2.3, min(4.2, 11.5 / columns)), 2.2)
    figure, axes = panels(len(results.tasks) * rows, columns, size, sharex=True, sharey="row" if rows == 1 else False)
    scale, label = labels.budget(details.unit, details.budget)
    x = [fraction * details.budget / scale for fraction in details.fractions]
    for t, task in enumerate(results.tasks):
        own = axes[t * rows * columns : (t + 1) * rows * columns]
        for v, (axis, value) in enumerate(zip(own, results.values, strict=False)):
            if t == 0 or rows > 1:
                axis.set_title(f"{results.axis} {value}", fontsize="medium")
            for line in details.lines:
                if curve := line.points[v].tasks[t].curve:
                    band(axis, cast, line.label, x, curve)
            finished(axis)
            few_ticks(axis, x=4, y=5)
            if v % columns == 0:
                axis.set_ylabel(f"{task}\n{labels.SCORE[results.kind]}", fontsize=SMALL + 0.5)
    figure.supxlabel(label, fontsize=SMALL + 1)
    legend(figure, cast)
    return figure


def _layout(count: int) -> tuple[int, int]:
    return wrapped(count, 3 if count in (3, 5, 6, 9) or count > 8 else 4)


def _size(columns: int) -> tuple[float, float]:
    return (4.6, 3.1) if columns < 3 else (3.6, 2.7)


def _outer(axes: Sequence[Axes], x: str, y: str = "") -> None:
    """Set common axis labels for all panels."""
    figure, place = axes[0].figure, axes[0].get_subplotspec()
    assert isinstance(figure, Figure)
    assert place is not None
    figure.supxlabel(x, fontsize=SMALL + 1)
    columns = place.get_gridspec().ncols
    for i, axis in enumerate(axes):
        # Without a panel below, the shared ticks would be lost.
        axis.tick_params(labelbottom=i + columns >= len(axes))
        if y and i % columns == 0:
            axis.set_ylabel(y, fontsize=SMALL + 1)
