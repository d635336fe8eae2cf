"""A run's evaluations over its budget: means with their standard errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

COLUMNS = ("evaluation", "fractions", "budget_used", "return")
"""The columns of ``evaluations`` that a curve needs."""


@dataclass(frozen=True)
class CurvePoint:
    """One evaluation, at one of the fractions of the budget that it represents.

    ``budget_used`` is in the domain's unit; ``standard_error`` is that of the mean, None for a single episode.
    """

    fraction: float
    budget_used: int
    mean: float
    standard_error: float | None
    episodes: int

    def text(self, form: str) -> str:
        """The mean and its standard error, each in a format such as ``.1f``: ``532.1 ± 63.0``."""
        return with_error(self.mean, self.standard_error, form)


def with_error(mean: float, standard_error: float | None, form: str) -> str:
    """A mean and its standard error, if any, each in a format such as ``.1f``."""
    return f"{mean:{form}}" + ("" if standard_error is None else f" ± {standard_error:{form}}")


def standard_error(values: Sequence[float]) -> float | None:
    """The standard error of the mean: the standard deviation (divisor n − 1) over √n; None for a single value."""
    return float(np.std(values, ddof=1)) / sqrt(len(values)) if len(values) > 1 else None


def curve(rows: Iterable[Mapping[str, Any]]) -> list[CurvePoint]:
    """The points of rows of ``evaluations`` (``COLUMNS``) of one mode, by increasing fraction."""
    returns: dict[int, list[float]] = {}
    about: dict[int, tuple[list[float], int]] = {}
    for row in rows:
        returns.setdefault(row["evaluation"], []).append(row["return"])
        about[row["evaluation"]] = (row["fractions"], row["budget_used"])
    return [
        CurvePoint(fraction, used, float(np.mean(returns[i])), standard_error(returns[i]), len(returns[i]))
        for i, (fractions, used) in sorted(about.items())
        for fraction in fractions
    ]
