"""Columns looked into, level by level, each value with the row that it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lagbench.leaderboard import limits

Rows = NDArray[np.int64]


def levels(table: Any, name: str) -> Iterator[tuple[Any, Rows]]:
    """The arrays of a column, its own and those inside its lists, each with the row of the table of every value."""
    first = 0
    for chunk in table.column(name).chunks:
        yield from _levels(chunk, np.arange(first, first + len(chunk)))
        first += len(chunk)


def _levels(array: Any, rows: Rows) -> Iterator[tuple[Any, Rows]]:
    yield array, rows
    there = np.asarray(array.is_valid())
    array, rows = array.drop_null(), rows[there]
    if pa.types.is_map(array.type):
        offsets = np.asarray(array.offsets)
        inside = np.repeat(rows, np.diff(offsets))
        for part in (array.keys, array.items):
            yield from _levels(part.slice(offsets[0], offsets[-1] - offsets[0]), inside)
    elif pa.types.is_list(array.type):
        yield from _levels(array.flatten(), np.repeat(rows, np.asarray(array.value_lengths())))
    elif pa.types.is_fixed_size_list(array.type):
        yield from _levels(array.flatten(), np.repeat(rows, array.type.list_size))


def null_rows(table: Any, name: str) -> list[int]:
    """The rows in which a column, or a list in it, has a null."""
    found = [rows[np.asarray(array.is_null())] for array, rows in levels(table, name) if array.null_count]
    return _distinct(found)


def infinite_rows(table: Any, name: str) -> list[int]:
    """The rows in which a column, or a list in it, has NaN or a number that is infinite, or as good as."""
    found = []
    for array, rows in levels(table, name):
        if pa.types.is_floating(array.type):
            values = np.asarray(array.fill_null(0.0))
            largest = min(limits.NUMBER, float(np.finfo(values.dtype).max))
            found.append(rows[~(np.abs(values) <= largest)])
    return _distinct(found)


def lengths(table: Any, name: str) -> NDArray[np.int64]:
    """The length of each row's list, or map."""
    parts = [np.diff(np.asarray(chunk.offsets)) for chunk in table.column(name).chunks]
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


def _distinct(found: list[Rows]) -> list[int]:
    return [] if not found else [int(row) for row in np.unique(np.concatenate(found))]
