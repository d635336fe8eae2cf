"""Stratified bootstrap intervals by rliable, with a fixed seed: the same scores give the same numbers."""

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
# Numbers drawn at a time: enough to vectorize, few enough for the cache.
_AT_ONCE = 2**18


@dataclass(frozen=True)
class Intervals:
    """A statistic, its 95% interval, and its standard deviation over the replications: arrays of one shape.

    With one run, the bounds equal the value and are not an interval.
    """

    value: Array
    low: Array
    high: Array
    error: Array


@contextmanager
def seeded() -> Iterator[None]:
    """Seed NumPy's global generator, the only one that rliable uses, and restore it afterwards."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(SEED)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


class _Copies(library.StratifiedIndependentBootstrap):  # type: ignore[misc]
    """rliable's bootstrap of samples [runs, ..., n] of n copies each: one replication gives n of the original sample.

    For a single sample, these are bit for bit the n that rliable would draw one after the other.
    """

    def update_indices(self) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
        """The run at each position of the next replication."""
        drawn, named = super().update_indices()
        return [(_by_copy(rows), *columns) for rows, *columns in drawn], named


def _by_copy(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Reorder independent indices [runs, ..., n] so that they are assigned copy by copy."""
    *shape, n = rows.shape
    return np.ascontiguousarray(np.moveaxis(rows.reshape(n, *shape), 0, -1))


def draws(samples: Sequence[Array], replications: int) -> Iterator[tuple[Array, ...]]:
    """Yield rliable's replications of samples [runs, ...], n at a time, as arrays [runs, ..., n].

    The runs of each column are resampled independently, with replacement. For one sample, the replications are bit for
    bit those that rliable draws one by one; for several, they use other parts of the same random stream.
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
    """Statistics of samples with percentile intervals, as rliable's ``get_interval_estimates``.

    Args:
        samples: arrays [runs, ...]; they may differ in runs.
        statistics: maps as many arrays [runs, ..., n], each of n replications, to named arrays [..., n].
        replications: number of replications.
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
