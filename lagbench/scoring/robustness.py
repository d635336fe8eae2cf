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
"""Tolerance is the value at which IQM falls below this share of the anchor's."""
DEFINED_ABOVE = 0.2
"""Shares of the anchor's IQM are defined if its interval's lower bound is above this."""
# Replaces anchors that are not positive, so that shares of them become extreme.
_TINY = 1e-12


def anchor(axis: Axis, forward: ForwardMode) -> Anchor:
    """The anchor of shares: the first value (lag 0, or one update in split mode); in reuse mode, the peak."""
    return "peak" if axis == "updates" and forward == "reuse" else "first"


def anchor_value(axis: Axis) -> int:
    """The required first value of the axis for shares of it to be meaningful: synchronous, or on-policy."""
    return 0 if axis == "lag" else 1


def positions(values: Sequence[int], axis: Axis) -> Array:
    """Positions of the values [V] on the axis: log2(1 + L) for lags, log2(U) for updates."""
    return np.log2(np.asarray(values, dtype=np.float64) + (axis == "lag"))


def lag_score(iqm: Array, x: Array) -> Array:
    """The mean height [...] of IQMs [..., V] over positions [V]: the trapezoidal area divided by the range."""
    return np.asarray(np.trapezoid(iqm, x, axis=-1) / (x[-1] - x[0]))


def retention(iqm: Array, relative_to: Anchor) -> Array:
    """IQMs [..., V] as shares of the anchor's."""
    return iqm / np.maximum(_base(iqm, relative_to), _TINY)[..., None]


def tolerance(iqm: Array, values: Sequence[int], axis: Axis, relative_to: Anchor) -> Array:
    """The smallest value [...] from the anchor on at which IQMs [..., V] fall below 0.9 of the anchor's.

    IQM is interpolated linearly between the positions of the values. If it never falls below, the tolerance is the
    largest value, and censored. If the anchor's IQM is negative, it is the anchor's value.
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
