"""Flags of a row: a claim that differs from its rerun, and lag that may have been switched off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from lagbench import scoring

Scores = scoring.normalize.Scores
_significance = scoring.significance
FAR_BELOW = 10.0
"""A TV smaller than the median of the others by this factor is flagged."""
FEWEST_OTHERS = 3
_NO_LAG = 1e-6
"""If their median is below this, the others have no lag either."""


@dataclass(frozen=True)
class Difference:
    """Final returns of claim and rerun on a task at a value of the axis, means over seeds; ``p`` is Holm-corrected."""

    task: str
    value: int
    claimed: float
    found: float
    p: float

    @property
    def apart(self) -> bool:
        """Whether they differ significantly."""
        return _significance.apart(self.p)


@dataclass(frozen=True)
class Agreement:
    """A claim compared with its rerun: the corrected p-value of the lag score, if any, and the differences by cell."""

    lag_score: float | None
    cells: tuple[Difference, ...]

    @property
    def apart(self) -> bool:
        """Whether anything differs significantly."""
        return _significance.apart(self.lag_score) or any(one.apart for one in self.cells)


def agreement(scores: Scores, lag_score: float | None) -> Agreement:
    """Compare a claim, the second entry of the grid, with its rerun, the first.

    ``lag_score`` is the p-value of the difference in lag score. Holm's correction is over the lag score and all cells.
    """
    found, claimed = scores.grid.entries
    cells: list[tuple[str, int, float, float, float]] = []
    for task in scores.grid.tasks:
        for value in scores.grid.values:
            finals = [scores.returns(entry, value, task) for entry in (claimed, found)]
            if finals[0] is None or finals[1] is None:
                continue
            ends = [final[:, -1].tolist() for final in finals if final is not None]
            if (p := _significance.two_samples(*ends)) is not None:
                cells.append((task, value, fmean(ends[0]), fmean(ends[1]), p))
    known = [*([] if lag_score is None else [lag_score]), *(cell[-1] for cell in cells)]
    corrected = _significance.holm(known)
    of_cells = corrected[len(known) - len(cells) :]
    differences = [Difference(*cell[:-1], p) for cell, p in zip(cells, of_cells, strict=True)]
    return Agreement(None if lag_score is None else corrected[0], tuple(differences))


def measured_tv(runs: Any, axis: str) -> dict[int, float]:
    """Value of the axis → TV(π_T, β) before the updates: the median over runs of each run's mean over phases."""
    found: dict[int, list[float]] = {}
    for value, tv in zip(runs[axis].to_pylist(), runs["tv_backward"].to_pylist(), strict=True):
        if tv is not None:
            found.setdefault(value, []).append(tv)
    return {value: median(own) for value, own in sorted(found.items())}


def without_lag(own: Mapping[int, float], others: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Values of the axis at which a method's TV is far below that of others → the median of the others.

    Far below is a tenth of the median of at least three others. On mujoco-mini-v0 the lowest baseline, SPO, is at a
    quarter of the median; actors that use the current policy are at 0.
    """
    found = {}
    for value, tv in own.items():
        there = [other[value] for other in others if value in other]
        if len(there) >= FEWEST_OTHERS and (middle := median(there)) > _NO_LAG and tv < middle / FAR_BELOW:
            found[value] = middle
    return found
