"""Stratified bootstrap intervals by rliable, so that the same scores give the same numbers to the last digit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rliable import library

Array = NDArray[np.float64]
Statistics = Mapping[str, Array]
CONFIDENCE = 0.95
SEED = 0


@dataclass(frozen=True)
class Intervals:
    """A statistic and its 95% interval, arrays of one shape. The bounds are NaN where one run gives no interval."""

    value: Array
    low: Array
    high: Array


@contextmanager
def seeded() -> Iterator[None]:
    """NumPy's global generator at a fixed seed, and afterwards as it was: rliable draws from no other."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(SEED)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def intervals(
    samples: Sequence[Array],
    statistics: Callable[..., Statistics],
    replications: int,
    tick: Callable[[], object] = lambda: None,
) -> dict[str, Intervals]:
    """Statistics of samples with percentile intervals, by one call of rliable.

    Args:
        samples: arrays [runs, columns], each column's runs are drawn again by themselves, with replacement; the arrays
            may differ in runs.
        statistics: takes as many arrays of those shapes, and gives named arrays, always of the same shapes.
        replications: how often is drawn.
        tick: called at every one of them.
    """
    shapes = {name: np.shape(value) for name, value in statistics(*samples).items()}

    def flat(*drawn: Array) -> Array:
        tick()
        found = statistics(*drawn)
        return np.concatenate([np.ravel(found[name]) for name in shapes])

    # One array goes as itself: rliable has a bootstrap of its own for that.
    given = list(samples) if len(samples) > 1 else samples[0]
    with seeded():
        value, bounds = library.get_interval_estimates(
            {"": given}, flat, reps=replications, confidence_interval_size=CONFIDENCE
        )
    low, high = bounds[""]
    cuts = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])[:-1]
    parts = zip(shapes.items(), *(np.split(part, cuts) for part in (value[""], low, high)), strict=True)
    return {name: Intervals(*(part.reshape(shape) for part in rest)) for (name, shape), *rest in parts}
