"""How a score changes along the axis: lag score, retention, tolerance. Pure functions of IQMs by value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lagbench.protocol import ForwardMode
from lagbench.suites import Axis

Array = NDArray[np.float64]
Anchor = Literal["first", "peak"]
KEPT = 0.9
"""The share of the anchor's IQM that is tolerated to be left."""
DEFINED_ABOVE = 0.2
"""The lower bound of the anchor's IQM above which shares of it mean something."""
# A replication whose anchor is not positive has no share of it: it counts as beyond everything.
_TINY = 1e-12


def anchor(axis: Axis, forward: ForwardMode) -> Anchor:
    """What shares are relative to: lag 0, or in split mode one update, the first value; in reuse mode the peak."""
    return "peak" if axis == "updates" and forward == "reuse" else "first"


def anchor_value(axis: Axis) -> int:
    """The value of the axis that the first one must be for shares of it to mean something: synchronous, on-policy."""
    return 0 if axis == "lag" else 1


def positions(values: Sequence[int], axis: Axis) -> Array:
    """Where the values [V] stand: log2(1 + L) for lags, log2(U) for updates."""
    return np.log2(np.asarray(values, dtype=np.float64) + (axis == "lag"))


def lag_score(iqm: Array, x: Array) -> Array:
    """The mean height [...] of IQMs [..., V] over positions [V]: the trapezoid, divided by the range."""
    return np.asarray(np.trapezoid(iqm, x, axis=-1) / (x[-1] - x[0]))


def retention(iqm: Array, relative_to: Anchor) -> Array:
    """IQMs [..., V] as shares of the anchor's."""
    return iqm / np.maximum(_base(iqm, relative_to), _TINY)[..., None]


def tolerance(iqm: Array, values: Sequence[int], axis: Axis, relative_to: Anchor) -> Array:
    """The smallest value [...] from the anchor on at which IQMs [..., V] fall below 0.9 of the anchor's.

    Between the values it is piecewise linear over their positions. The largest value where it never falls below:
    censored. It falls below at the anchor itself where that is negative.
    """
    x = positions(values, axis)
    start = iqm.argmax(axis=-1) if relative_to == "peak" else np.zeros(iqm.shape[:-1], dtype=np.int64)
    bar = KEPT * _base(iqm, relative_to)
    below = (iqm < bar[..., None]) & (np.arange(len(values)) >= start[..., None])
    after = below.argmax(axis=-1)
    before = np.maximum(after - 1, start)

    def at(array: Array, index: NDArray[np.int64]) -> Array:
        return np.take_along_axis(array, index[..., None], axis=-1)[..., 0]

    high, low = at(iqm, before), at(iqm, after)
    drop = np.where(high > low, high - low, 1.0)
    crossing = x[before] + (high - bar) / drop * (x[after] - x[before])
    value = np.exp2(crossing) - (axis == "lag")
    return np.where(below.any(axis=-1), value, float(values[-1]))


def _base(iqm: Array, relative_to: Anchor) -> Array:
    return np.asarray(iqm.max(axis=-1) if relative_to == "peak" else iqm[..., 0])
