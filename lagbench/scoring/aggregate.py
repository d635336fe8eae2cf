"""rliable's aggregates over runs and tasks, for many matrices at once: replications, values of the axis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rliable import metrics

Array = NDArray[np.float64]
NAMES = ("iqm", "median", "mean", "optimality_gap")


def iqm(scores: Array) -> Array:
    """The interquartile mean [...] of scores [runs, tasks, ...] over runs and tasks together.

    What rliable's ``aggregate_iqm`` is of one matrix: the mean of what is left without the lowest and the highest
    quarter, each rounded down.
    """
    flat = np.sort(scores.reshape(-1, *scores.shape[2:]), axis=0)
    cut = len(flat) // 4
    return np.asarray(flat[cut : len(flat) - cut].mean(axis=0))


def aggregates(scores: Array) -> dict[str, Array]:
    """Name → [...] of scores [runs, tasks, ...]: ``NAMES``, each as rliable has it.

    The median and the mean are those of the tasks' mean scores; the optimality gap is the mean of what runs lack to 1.
    """
    return {
        "iqm": iqm(scores),
        "median": np.asarray(metrics.aggregate_median(scores)),
        "mean": np.asarray(metrics.aggregate_mean(scores)),
        # rliable's takes the mean over everything.
        "optimality_gap": 1 - np.minimum(scores, 1).mean(axis=(0, 1)),
    }


def task_means(scores: Array) -> Array:
    """The mean over runs [tasks, ...] of scores [runs, tasks, ...]."""
    return np.asarray(scores.mean(axis=0))


def improvement(first: Array, second: Array) -> Array:
    """P(a score of ``first`` > one of ``second``) [...], mean over tasks; ties count half.

    Args:
        first: [runs, tasks, ...].
        second: [runs, tasks, ...], perhaps of another number of runs.

    rliable's ``probability_of_improvement``, whose Mann-Whitney U counts the same pairs, without its p-values.
    """
    # By one run of the first at a time: of all pairs at once, replications of large grids would take gigabytes.
    above = sum(np.sign(run - second).mean(axis=(0, 1)) for run in first) / len(first)
    return np.asarray((1 + above) / 2)
