"""Results of a replay: checks, and the first difference of a record from what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from lagbench.domain import ActionMode

CheckOutcome = Literal["ok", "failed", "skipped"]
"""The outcome of a check, of an algorithm or of a replay."""

_ACTIONS: dict[ActionMode, str] = {"mode": "deterministic", "stochastic": "sampled"}


@dataclass(frozen=True)
class Difference:
    """The first row of a table that differs, in the table's order.

    Attributes:
        table: the table.
        where: the columns and values that identify the row; empty if the whole table differs.
        column: the column; for a list, with the index of the element.
        recorded: the recorded value.
        expected: the expected value.
        by: how the expected value was found: ``replayed``, ``recomputed``, ``specified``, ``drawn``, ``summed``,
            ``graded`` or, for versions of an asynchronous run, ``possible``.
    """

    table: str
    where: Mapping[str, Any]
    column: str
    recorded: Any
    expected: Any
    by: str

    def __str__(self) -> str:
        place = ", ".join([self.table, *(_place(name, value) for name, value in self.where.items())])
        return f"{place}: {self.column} is {_shown(self.recorded)}, {self.by} {_shown(self.expected)}"

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {**vars(self), "where": dict(self.where), "text": str(self)}


@dataclass(frozen=True)
class ReplayCheck:
    """A check: its name, its outcome, a sentence on what was done, and on failure the first difference."""

    name: str
    outcome: CheckOutcome
    message: str
    difference: Difference | None = None

    @classmethod
    def of(cls, name: str, difference: Difference | None, message: str) -> Self:
        """A check that found this difference; ``message`` is used if there is none."""
        return cls(name, "ok", message) if difference is None else cls(name, "failed", str(difference), difference)


def differs(recorded: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """Elementwise, whether two arrays of one shape and type differ in any bit: NaN equals NaN, 0 differs from −0."""
    if recorded.dtype.kind != "f":
        return np.asarray(recorded != other)
    word = f"u{recorded.dtype.itemsize}"
    return np.asarray(np.ascontiguousarray(recorded).view(word) != np.ascontiguousarray(other).view(word))


def element(
    table: str, where: Mapping[str, Any], column: str, recorded: NDArray[Any], other: NDArray[Any], by: str
) -> Difference:
    """The difference of two values of a column, numbers [] or vectors [size], at the first element that differs."""
    if not recorded.ndim:
        return Difference(table, where, column, recorded.item(), other.item(), by)
    i = int(np.flatnonzero(differs(recorded, other))[0])
    return Difference(table, where, f"{column}[{i}]", recorded[i].item(), other[i].item(), by)


def _place(column: str, value: Any) -> str:
    """A column and its value as a phrase; for ``mode``, how actions were chosen."""
    return _ACTIONS.get(value, f"mode {value}") if column == "mode" else f"{column.removesuffix('_id')} {value}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
