"""Significance of differences: p-values from the bootstrap, and Holm's correction for multiple comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, fsum, sqrt
from statistics import fmean

LEVEL = 0.05
"""Significance level: the share of tables that may separate any pair of equal entries."""

_ROUNDING = 1e-12


def unbiased(error: float, runs: int) -> float:
    """The standard error of an estimate, from the standard deviation of its bootstrap.

    The bootstrap's variance has the divisor n instead of n − 1, so its standard deviation is too small by √((n−1)/n).

    Args:
        error: standard deviation of the bootstrap.
        runs: n, at least 2.

    Returns:
        √(n/(n−1)) · ``error``.
    """
    return error * sqrt(runs / (runs - 1))


def degrees(runs: int, tasks: int) -> int:
    """The degrees of freedom of a difference of two entries with equal variance.

    Args:
        runs: n of each entry on each task.
        tasks: number of tasks.

    Returns:
        2 · ``tasks`` · (n − 1).
    """
    return 2 * tasks * (runs - 1)


def quantile(runs: int, tasks: int, pairs: int = 1) -> float:
    """The number of standard errors from 0 required at the first step of Holm's correction.

    Args:
        runs: n of each entry on each task.
        tasks: number of tasks.
        pairs: number of comparisons in Holm's correction.

    Returns:
        The quantile of Student's t at 1 − ``LEVEL`` / ``pairs`` / 2.
    """
    from scipy import stats

    return float(stats.t.isf(LEVEL / pairs / 2, degrees(runs, tasks)))


def p_value(difference: float, error: float, runs: int, tasks: int) -> float:
    """The two-sided p-value of a difference of two entries, by Student's t.

    The bootstrap's own tails are too thin for a correction: with 5 seeds on 3 tasks, 17% of tables of nine equal
    entries would separate some pair by them, and 4% by this test (docs/scores.md).

    Args:
        difference: difference of the two.
        error: standard deviation of its bootstrap.
        runs: n of each entry on each task.
        tasks: number of tasks.

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


def two_samples(one: Sequence[float], other: Sequence[float]) -> float | None:
    """The two-sided p-value of two samples' difference in means, by Student's t with pooled variance.

    ``t = (x̄ − ȳ) / (s √(1/n + 1/m))`` with n + m − 2 degrees of freedom, where s² is the sum of both samples' squared
    deviations from their means, divided by the degrees of freedom (Student 1908).

    Args:
        one: n values.
        other: m values.

    Returns:
        The p-value; None without degrees of freedom.
    """
    from scipy import stats

    means = fmean(one), fmean(other)
    freedom = len(one) + len(other) - 2
    if freedom < 1:
        return None
    squares = fsum((x - mean) ** 2 for side, mean in zip((one, other), means, strict=True) for x in side)
    distance = abs(means[0] - means[1])
    if not squares:
        return 1.0 if distance == 0 else 0.0
    return float(2 * stats.t.sf(distance / sqrt(squares / freedom * (1 / len(one) + 1 / len(other))), freedom))


def smallest(runs: int, cells: int) -> float:
    """The smallest two-sided p-value of a permutation test of ``runs`` against ``runs`` within each of ``cells``.

    A lower bound for the probability of improvement, which has no spread if all runs of one entry are above all of the
    other, as can happen by chance.

    Args:
        runs: n of each entry in each cell.
        cells: number of cells, tasks × values of the axis.

    Returns:
        2 / C(2n, n)^``cells``.
    """
    ways: int = comb(2 * runs, runs) ** cells
    return 2 / ways


def apart(p: float | None) -> bool:
    """Whether two entries are separated.

    Args:
        p: a corrected p-value; None without an interval.

    Returns:
        Whether p ≤ ``LEVEL``; False for None.
    """
    return p is not None and p <= LEVEL


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-corrected p-values, to be compared with the level itself.

    The i-th smallest of m is multiplied by m − i + 1, and made monotone and at most 1.

    Paper: Holm 1979.

    Args:
        p_values: p-values of all comparisons.

    Returns:
        Corrected p-values, in the order of ``p_values``.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    corrected, largest = [0.0] * len(p_values), 0.0
    for i, index in enumerate(order):
        largest = max(largest, (len(p_values) - i) * p_values[index])
        corrected[index] = min(1.0, largest)
    return corrected
