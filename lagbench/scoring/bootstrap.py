"""Stratified bootstrap intervals by rliable, so that the same scores give the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rliable import library

Array = NDArray[np.float64]
Statistics = Mapping[str, Array]
CONFIDENCE = 0.95
SEED = 0
# So many numbers are drawn at a time: enough for NumPy to work at its speed, few enough for the cache.
_AT_ONCE = 2**18


@dataclass(frozen=True)
class Intervals:
    """A statistic, its 95% interval, and its standard deviation over the replications: arrays of one shape.

    From one run the bounds are the value, and no interval.
    """

    value: Array
    low: Array
    high: Array
    error: Array


@contextmanager
def seeded() -> Iterator[None]:
    """NumPy's global generator at a fixed seed, and afterwards as it was: rliable draws from no other."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(SEED)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


class _Copies(library.StratifiedIndependentBootstrap):  # type: ignore[misc]
    """rliable's bootstrap of samples [runs, ..., n], each n copies of one: a replication of them is n of that one's.

    Of a single sample they are the n that rliable would draw one after the other, bit for bit.
    """

    def update_indices(self) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
        """Which run stands in each place of the next replication."""
        drawn, named = super().update_indices()
        return [(_by_copy(rows), *columns) for rows, *columns in drawn], named


def _by_copy(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same independent numbers [runs, ..., n], dealt out to one copy after the other."""
    *shape, n = rows.shape
    return np.ascontiguousarray(np.moveaxis(rows.reshape(n, *shape), 0, -1))


def draws(samples: Sequence[Array], replications: int) -> Iterator[tuple[Array, ...]]:
    """Replications of samples [runs, ...] by rliable, some at a time, as arrays [runs, ..., n].

    Each column's runs are drawn again by themselves, with replacement. Of one sample the replications are bit for bit
    those of rliable one by one; of several, they come from other stretches of the same stream.
    """
    at_once = max(1, _AT_ONCE // sum(x.size for x in samples))
    for done in range(0, replications, at_once):
        n = min(at_once, replications - done)
        bootstrap = _Copies(*(np.broadcast_to(x[..., None], (*x.shape, n)) for x in samples))
        for drawn, _ in bootstrap.bootstrap(1):
            yield drawn


def intervals(
    samples: Sequence[Array], statistics: Callable[..., Statistics], replications: int
) -> dict[str, Intervals]:
    """Statistics of samples with percentile intervals, those of rliable's ``get_interval_estimates``.

    Args:
        samples: arrays [runs, ...]; they may differ in runs.
        statistics: takes as many arrays [runs, ..., n], n replications of them, and gives named arrays [..., n].
        replications: how often is drawn.
    """
    values = {name: x[..., 0] for name, x in statistics(*(x[..., None] for x in samples)).items()}
    found = {name: np.empty((*x.shape, replications)) for name, x in values.items()}
    done = 0
    with seeded():
        for drawn in draws(samples, replications):
            end = done + drawn[0].shape[-1]
            for name, x in statistics(*drawn).items():
                found[name][..., done:end] = x
            done = end
    return {name: _summed_up(value, found[name]) for name, value in values.items()}


def _summed_up(value: Array, replications: Array) -> Intervals:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(replications, (tail, 100 - tail), axis=-1)
    return Intervals(value, low, high, replications.std(axis=-1))
