"""Comparisons of entries, by one bootstrap of all their runs: differences, probabilities of improvement, ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lagbench.scoring import aggregate, robustness, significance
from lagbench.scoring.bootstrap import Intervals, intervals
from lagbench.scoring.interval_estimates import by_runs, interval_estimate
from lagbench.scoring.normalize import Scores
from lagbench.scoring.results import Comparison, IntervalEstimate, Line

Array = NDArray[np.float64]


def comparisons(scores: Scores, replications: int) -> tuple[Comparison, ...]:
    """Compare the final scores of every pair of entries.

    Runs are not paired: with the same seed they share only initial weights and environments. The probability of
    improvement, which compares within a task, is also given for returns that are not normalised.
    """
    grid = scores.grid
    size = len(grid.values)
    blocks: dict[int, Array] = {}  # entry × values + value → [runs, tasks]
    for e, entry in enumerate(grid.entries):
        for v, value in enumerate(grid.values):
            if (curves := scores.block(entry, value)) is not None:
                blocks[e * size + v] = curves[..., -1]
    stacks = by_runs(blocks)
    pairs = list(combinations(range(len(grid.entries)), 2))
    cells = [(p, v) for p, pair in enumerate(pairs) for v in range(size) if all(e * size + v in blocks for e in pair)]
    if not cells:
        return tuple(_comparison(scores, pair, {}, {}, blocks) for pair in pairs)
    both = {p: [c for c, (q, _) in enumerate(cells) if q == p] for p in range(len(pairs))}
    complete = [p for p in both if len(both[p]) == size]
    matches = _matches(stacks, [(pairs[p][0] * size + v, pairs[p][1] * size + v) for p, v in cells])
    x = robustness.positions(grid.values, grid.axis)
    first, second = (np.array([pairs[p][side] for p in complete], dtype=np.int64) for side in (0, 1))
    firsts, seconds = (np.array([pairs[p][side] * size + v for p, v in cells]) for side in (0, 1))
    over = np.array([both[p] for p in complete], dtype=np.int64).reshape(-1, size)

    def statistics(*drawn: Array) -> dict[str, Array]:
        n = drawn[0].shape[-1]
        improvement = np.empty((len(cells), n))
        for g, h, mine, theirs, own in matches:
            improvement[own] = aggregate.improvement(drawn[g][..., mine, :], drawn[h][..., theirs, :])
        found = {"improvements": improvement, "improvement": improvement[over].mean(axis=1)}
        if scores.scales is not None:
            iqm = np.full((len(grid.entries) * size, n), np.nan)
            for (own, _), block in zip(stacks, drawn, strict=True):
                iqm[own] = aggregate.iqm(block)
            found["iqm"] = iqm[firsts] - iqm[seconds]
            if size > 1:
                by_entry = iqm.reshape(len(grid.entries), size, n)
                heights = robustness.lag_score(np.moveaxis(by_entry, 1, -1), x)
                found["lag_score"] = heights[first] - heights[second]
        return found

    found = intervals([stack for _, stack in stacks], statistics, replications)
    index = {(pairs[p], v): c for c, (p, v) in enumerate(cells)}
    return _corrected(
        [
            _comparison(scores, pair, found, index, blocks, complete.index(p) if p in complete else None)
            for p, pair in enumerate(pairs)
        ]
    )


def _matches(
    stacks: Sequence[tuple[list[int], Array]], cells: Sequence[tuple[int, int]]
) -> list[tuple[int, int, list[int], list[int], list[int]]]:
    """The columns to compare in each pair of stacks: both stacks, columns of each, and indices of the cells."""
    place = {key: (g, column) for g, (own, _) in enumerate(stacks) for column, key in enumerate(own)}
    found: dict[tuple[int, int], tuple[list[int], list[int], list[int]]] = {}
    for c, (one, other) in enumerate(cells):
        (g, mine), (h, theirs) = place[one], place[other]
        for target, x in zip(found.setdefault((g, h), ([], [], [])), (mine, theirs, c), strict=True):
            target.append(x)
    return [(g, h, *columns) for (g, h), columns in found.items()]


def _comparison(
    scores: Scores,
    pair: tuple[int, int],
    found: dict[str, Intervals],
    index: dict[tuple[tuple[int, int], int], int],
    blocks: dict[int, Array],
    whole: int | None = None,
) -> Comparison:
    """The comparison of a pair, with uncorrected p-values."""
    size = len(scores.grid.values)

    def fewest(values: Sequence[int]) -> int:
        return min(len(blocks[e * size + v]) for e in pair for v in values)

    def at(name: str) -> tuple[IntervalEstimate | None, ...]:
        return tuple(
            interval_estimate(found[name], (index[pair, v],), fewest([v]))
            if name in found and (pair, v) in index
            else None
            for v in range(size)
        )

    def over(name: str) -> IntervalEstimate | None:
        known = name in found and whole is not None
        return interval_estimate(found[name], (whole,), fewest(range(size))) if known and whole is not None else None

    tasks = len(scores.grid.tasks)

    def p_value(name: str, index: int | None, values: Sequence[int], nothing: float = 0.0) -> float | None:
        if name not in found or index is None or (runs := fewest(values)) < 2:
            return None
        value, error = float(found[name].value[index]), float(found[name].error[index])
        return significance.p_value(value - nothing, error, runs, tasks)

    if scores.scales is None:
        p = p_value("improvement", whole, range(size), nothing=0.5)
        p = None if p is None else max(p, significance.smallest(fewest(range(size)), tasks * size))
    else:
        p = p_value("lag_score", whole, range(size))
    return Comparison(
        first=scores.grid.entries[pair[0]].label,
        second=scores.grid.entries[pair[1]].label,
        lag_score=over("lag_score"),
        iqm=at("iqm"),
        improvement=over("improvement"),
        improvements=at("improvements"),
        p=p,
        ps=tuple(p_value("iqm", index.get((pair, v)), [v]) for v in range(size)),
    )


def _corrected(found: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Apply Holm's correction over all pairs, separately to lag scores and to the IQMs at each value."""
    p = _holm([pair.p for pair in found])
    ps = zip(*(_holm(column) for column in zip(*(pair.ps for pair in found), strict=True)), strict=True)
    return tuple(replace(pair, p=own, ps=by_value) for pair, own, by_value in zip(found, p, ps, strict=True))


def _holm(p_values: Sequence[float | None]) -> list[float | None]:
    known = [i for i, p in enumerate(p_values) if p is not None]
    corrected = dict(zip(known, significance.holm([p for p in p_values if p is not None]), strict=True))
    return [corrected.get(i) for i in range(len(p_values))]


def ranked(lines: Sequence[Line], found: Sequence[Comparison]) -> tuple[Line, ...]:
    """Add ranks by lag score and, at each value, by IQM: 1 + the number of significantly better lines.

    Significance is with Holm's correction over all pairs; lines that are not separated may tie. A line without an
    interval has no rank and counts as better than none.
    """
    labels = [line.label for line in lines]
    by_score = _ranks(labels, [(pair, pair.lag_score, pair.p) for pair in found])
    by_value = [
        _ranks(labels, [(pair, pair.iqm[v], pair.ps[v]) for pair in found]) for v in range(len(lines[0].points))
    ]
    return tuple(
        replace(
            line,
            rank=by_score[line.label] if line.lag_score and line.lag_score.low is not None else None,
            points=tuple(
                replace(
                    point,
                    rank=by_value[v][line.label] if point.final and point.final.iqm.low is not None else None,
                )
                for v, point in enumerate(line.points)
            ),
        )
        for line in lines
    )


def _ranks(
    labels: Sequence[str], differences: Sequence[tuple[Comparison, IntervalEstimate | None, float | None]]
) -> dict[str, int]:
    ranks = dict.fromkeys(labels, 1)
    for pair, difference, p in differences:
        if difference is not None and significance.apart(p):
            ranks[pair.second if difference.value > 0 else pair.first] += 1
    return ranks
