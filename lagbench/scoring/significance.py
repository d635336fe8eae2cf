"""Whether entries differ: the p-value of a difference by its bootstrap, and Holm's correction for many of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, sqrt

LEVEL = 0.05
"""Of differences that are not there, at most this share of tables shows any as one."""

_ROUNDING = 1e-12


def unbiased(error: float, runs: int) -> float:
    """The standard error of an estimate, from the standard deviation of its bootstrap.

    A bootstrap knows the variance of n runs with the divisor n, not n − 1: it is √((n−1)/n) of what it should be.

    Args:
        error: standard deviation of the bootstrap.
        runs: n, 2 at least.

    Returns:
        √(n/(n−1)) · ``error``.
    """
    return error * sqrt(runs / (runs - 1))


def degrees(runs: int, tasks: int) -> int:
    """The degrees of freedom of a difference of two entries whose spreads are alike.

    Args:
        runs: n of each entry on each task.
        tasks: how many.

    Returns:
        2 · ``tasks`` · (n − 1).
    """
    return 2 * tasks * (runs - 1)


def quantile(runs: int, tasks: int, pairs: int = 1) -> float:
    """How many standard errors a difference must be from 0 where Holm's correction begins.

    Args:
        runs: n of each entry on each task.
        tasks: how many.
        pairs: over which Holm's correction is.

    Returns:
        The quantile of Student's t at 1 − ``LEVEL`` / ``pairs`` / 2.
    """
    from scipy import stats

    return float(stats.t.isf(LEVEL / pairs / 2, degrees(runs, tasks)))


def p_value(difference: float, error: float, runs: int, tasks: int) -> float:
    """The two-sided p-value of a difference of two entries, of so many runs on each task, by Student's t.

    Tails of the bootstrap itself are too thin for a correction: with 5 seeds on 3 tasks, of tables of nine equal
    entries 17% show some as different by them, and 4% by this (docs/scores.md).

    Args:
        difference: of the two.
        error: standard deviation of its bootstrap.
        runs: n of each entry on each task.
        tasks: how many.

    Returns:
        p in [0, 1], not corrected.
    """
    from scipy import stats

    if abs(difference) < _ROUNDING:
        return 1.0
    if not error:
        return 0.0
    t = abs(difference) / unbiased(error, runs)
    return float(2 * stats.t.sf(t, degrees(runs, tasks)))


def smallest(runs: int, cells: int) -> float:
    """The smallest two-sided p-value that a permutation of ``runs`` against as many within each of ``cells`` can give.

    Where all runs of one entry are above all of the other, a probability of improvement has no spread, and may have
    none by chance.

    Args:
        runs: n of each entry in each cell.
        cells: tasks × values of the axis.

    Returns:
        2 / C(2n, n)^``cells``.
    """
    ways: int = comb(2 * runs, runs) ** cells
    return 2 / ways


def apart(p: float | None) -> bool:
    """Whether two are told apart.

    Args:
        p: a corrected p-value; None where there is no interval.

    Returns:
        Whether p ≤ ``LEVEL``; False for None.
    """
    return p is not None and p <= LEVEL


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's p-values of all of these together: one is to be compared with the level itself.

    The i-th smallest of m is multiplied by m − i + 1, and none is smaller than one before it, nor above 1.

    Paper: Holm 1979.

    Args:
        p_values: of all comparisons that are made.

    Returns:
        Corrected p-values, in the order of ``p_values``.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for i, index in enumerate(order):
        largest = max(largest, (len(p_values) - i) * p_values[index])
        corrected[index] = min(1.0, largest)
    return corrected
