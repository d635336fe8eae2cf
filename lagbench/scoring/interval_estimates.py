"""All numbers of an entry, by one bootstrap of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lagbench.records.curve import standard_error
from lagbench.scoring import aggregate, robustness
from lagbench.scoring.bootstrap import Intervals, intervals
from lagbench.scoring.grid import Entry
from lagbench.scoring.normalize import Scores
from lagbench.scoring.power import spread
from lagbench.scoring.results import Aggregates, IntervalEstimate, Line, Mean, Point, TaskScore, Tolerance

Array = NDArray[np.float64]
FINAL, AREA = 0, 1
MEASURES = (FINAL, AREA)


def interval_estimate(found: Intervals, index: tuple[int, ...], runs: int) -> IntervalEstimate:
    """One number of an array; with one run, without an interval."""
    low, high = (None, None) if runs < 2 else (float(found.low[index]), float(found.high[index]))
    return IntervalEstimate(float(found.value[index]), low, high)


def by_runs(arrays: Mapping[int, Array]) -> list[tuple[list[int], Array]]:
    """Stack arrays [runs, ...] with equal numbers of runs as [runs, ..., k], with the keys of each stack.

    A grid without gaps gives one stack, as rliable's bootstrap expects.
    """
    keys: dict[int, list[int]] = {}
    for key, array in arrays.items():
        keys.setdefault(len(array), []).append(key)
    return [(own, np.stack([arrays[key] for key in own], axis=-1)) for _, own in sorted(keys.items())]


@dataclass(frozen=True)
class _Sample:
    """The sample of an entry's bootstrap, and its result.

    Attributes:
        blocks: [runs, tasks, measures] over all tasks, by index of the value.
        cells: [runs, measures] of one task, by (value, task), for values without a block.
        found: statistics by name; empty before the bootstrap.
    """

    blocks: Mapping[int, Array]
    cells: Mapping[tuple[int, str], Array]
    found: Mapping[str, Intervals]

    def whole(self, values: int) -> bool:
        """Whether each of several values has a block, so that there are numbers over the whole axis."""
        return len(self.blocks) == values > 1


def line(scores: Scores, entry: Entry, replications: int) -> Line:
    """The numbers of an entry. Ranks, which depend on other entries, are None."""
    values = scores.grid.values
    sample = _bootstrap(scores, _gather(scores, entry), replications)
    points = tuple(_point(scores, entry, i, sample) for i in range(len(values)))
    fewest = min(map(len, sample.blocks.values()), default=0)
    whole = sample.whole(len(values))
    undefined = _why_undefined(scores, points, fewest)
    if not undefined:
        shares = [interval_estimate(sample.found["retention"], (i,), fewest) for i in range(len(values))]
        points = tuple(replace(point, retention=share) for point, share in zip(points, shares, strict=True))
    return Line(
        label=entry.label,
        algorithm=entry.algorithm,
        source=entry.source,
        config=entry.config,
        runs=sum(point.runs for point in points),
        diverged=sum(point.diverged for point in points),
        missing=entry.missing,
        points=points,
        lag_score=interval_estimate(sample.found["lag_score"], (), fewest) if whole else None,
        spread=spread(float(sample.found["lag_score"].error), fewest) if whole and fewest > 1 else None,
        rank=None,
        tolerance=None if undefined else _tolerance(sample.found["tolerance"], values),
        undefined=undefined,
    )


def _gather(scores: Scores, entry: Entry) -> _Sample:
    blocks: dict[int, Array] = {}
    cells: dict[tuple[int, str], Array] = {}
    for i, value in enumerate(scores.grid.values):
        curves = scores.block(entry, value)
        if curves is not None and scores.scales is not None:
            blocks[i] = _measured(scores, curves)
            continue
        for task in scores.grid.tasks:
            if (curve := scores.curve(entry, value, task)) is not None:
                cells[value, task] = _measured(scores, curve)
    return _Sample(blocks, cells, {})


def _measured(scores: Scores, curves: Array) -> Array:
    """[..., fractions] → [..., measures]: the last evaluation, and the area."""
    return np.stack([curves[..., -1], scores.area(curves)], axis=-1)


def _bootstrap(scores: Scores, sample: _Sample, replications: int) -> _Sample:
    grid = scores.grid
    relative_to = robustness.anchor(grid.axis, grid.forward)
    x = robustness.positions(grid.values, grid.axis)
    blocks = by_runs(sample.blocks)
    cells = by_runs(dict(enumerate(sample.cells.values())))
    whole = sample.whole(len(grid.values))

    def statistics(*drawn: Array) -> dict[str, Array]:
        found = {}
        n = drawn[0].shape[-1]
        if blocks:
            shape = (len(MEASURES), len(grid.values), n)
            found = {name: np.full(shape, np.nan) for name in aggregate.NAMES}
            found["tasks"] = np.full((len(grid.tasks), *shape), np.nan)
            for (own, _), block in zip(blocks, drawn[: len(blocks)], strict=True):
                for name, value in aggregate.aggregates(block).items():
                    found[name][:, own] = value
                found["tasks"][:, :, own] = aggregate.task_means(block)
        if cells:
            found["cells"] = np.empty((len(MEASURES), len(sample.cells), n))
            for (own, _), cell in zip(cells, drawn[len(blocks) :], strict=True):
                found["cells"][:, own] = aggregate.task_means(cell)
        if whole:
            iqm = found["iqm"][FINAL].T
            found["lag_score"] = robustness.lag_score(iqm, x)
            found["retention"] = robustness.retention(iqm, relative_to).T
            found["tolerance"] = robustness.tolerance(iqm, grid.values, grid.axis, relative_to)
        return found

    arrays = [array for _, array in (*blocks, *cells)]
    return replace(sample, found=intervals(arrays, statistics, replications) if arrays else {})


def _point(scores: Scores, entry: Entry, i: int, sample: _Sample) -> Point:
    value = scores.grid.values[i]
    tasks = tuple(_task(scores, entry, i, t, sample) for t in range(len(scores.grid.tasks)))
    found: list[Aggregates | None] = [None] * len(MEASURES)
    if i in sample.blocks:
        runs = len(sample.blocks[i])
        found = [
            Aggregates(**{name: interval_estimate(sample.found[name], (m, i), runs) for name in aggregate.NAMES})
            for m in MEASURES
        ]
    return Point(
        value=value,
        runs=sum(len(task.seeds) for task in tasks),
        diverged=sum(task.diverged for task in tasks),
        final=found[FINAL],
        area=found[AREA],
        absent=scores.absent(entry, value) or ("" if i in sample.blocks else "returns are not normalised"),
        rank=None,
        retention=None,
        tasks=tasks,
    )


def _task(scores: Scores, entry: Entry, i: int, t: int, sample: _Sample) -> TaskScore:
    grid = scores.grid
    place = grid.values[i], grid.tasks[t]
    runs = entry.runs.get(place, ())
    found: list[IntervalEstimate | None] = [None] * len(MEASURES)
    if i in sample.blocks:
        found = [interval_estimate(sample.found["tasks"], (t, m, i), len(runs)) for m in MEASURES]
    elif place in sample.cells:
        c = list(sample.cells).index(place)
        found = [interval_estimate(sample.found["cells"], (m, c), len(runs)) for m in MEASURES]
    returns = scores.returns(entry, *place)
    return TaskScore(
        task=grid.tasks[t],
        seeds=tuple(run.seed for run in runs),
        diverged=sum(run.diverged for run in runs),
        returned=None if returns is None else _mean(returns[:, -1]),
        mode_returned=None if (beside := scores.mode_returns(entry, *place)) is None else _mean(beside),
        final=found[FINAL],
        area=found[AREA],
    )


def _mean(values: Array) -> Mean:
    return Mean(float(values.mean()), standard_error(values.tolist()))


def _tolerance(found: Intervals, values: Sequence[int]) -> Tolerance:
    return Tolerance(float(found.value), float(found.low), float(found.high), float(values[-1]))


def _why_undefined(scores: Scores, points: Sequence[Point], runs: int) -> str:
    """Why shares of the anchor's IQM are undefined; empty if they are defined."""
    grid = scores.grid
    relative_to = robustness.anchor(grid.axis, grid.forward)
    if scores.scales is None:
        return "returns are not normalised"
    if len(grid.values) < 2:
        return f"there is only one value of {grid.axis}"
    iqms = [point.final.iqm for point in points if point.final]
    if len(iqms) < len(points):
        return "the grid is not complete"
    if runs < 2:
        return "with one run on a task there is no interval"
    if relative_to == "first" and grid.values[0] != (wanted := robustness.anchor_value(grid.axis)):
        return f"the grid has no {grid.axis} {wanted}"
    base = max(iqms, key=lambda iqm: iqm.value) if relative_to == "peak" else iqms[0]
    if not (base.low is not None and base.low > robustness.DEFINED_ABOVE):
        where = "its peak" if relative_to == "peak" else f"{grid.axis} {grid.values[0]}"
        return f"the lower bound of IQM at {where} is not above {robustness.DEFINED_ABOVE}"
    return ""
