"""rliable's aggregates over runs and tasks, vectorized over further dimensions (replications, values of the axis)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rliable import metrics

Array = NDArray[np.float64]
NAMES = ("iqm", "median", "mean", "optimality_gap")


def iqm(scores: Array) -> Array:
    """The interquartile mean [...] of scores [runs, tasks, ...] over runs and tasks together.

    As rliable's ``aggregate_iqm`` of each matrix: the mean without the lowest and the highest quarter, each rounded
    down.
    """
    flat = np.sort(scores.reshape(-1, *scores.shape[2:]), axis=0)
    cut = len(flat) // 4
    return np.asarray(flat[cut : len(flat) - cut].mean(axis=0))


def aggregates(scores: Array) -> dict[str, Array]:
    """Name → [...] of scores [runs, tasks, ...]: the aggregates ``NAMES``, each as defined by rliable.

    Median and mean are of the tasks' mean scores; the optimality gap is the mean shortfall from 1.
    """
    return {
        "iqm": iqm(scores),
        "median": np.asarray(metrics.aggregate_median(scores)),
        "mean": np.asarray(metrics.aggregate_mean(scores)),
        # rliable's function would also average over the further dimensions.
        "optimality_gap": 1 - np.minimum(scores, 1).mean(axis=(0, 1)),
    }


def task_means(scores: Array) -> Array:
    """The mean over runs [tasks, ...] of scores [runs, tasks, ...]."""
    return np.asarray(scores.mean(axis=0))


def improvement(first: Array, second: Array) -> Array:
    """P(a score of ``first`` > one of ``second``) [...], mean over tasks; ties count half.

    Args:
        first: [runs, tasks, ...].
        second: [runs, tasks, ...]; may differ in runs.

    Equal to rliable's ``probability_of_improvement``, which counts the same pairs by Mann-Whitney U.
    """
    # One run of the first at a time: with all pairs at once, replications of large grids would take gigabytes.
    above = sum(np.sign(run - second).mean(axis=(0, 1)) for run in first) / len(first)
    return np.asarray((1 + above) / 2)
