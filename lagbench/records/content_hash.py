"""The content hash of a table: SHA-256 over its values in row order, independent of batches and files."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lagbench.records.schema import left_out, type_name

TIMES = "seconds_"
"""The prefix of columns of wall-clock time, which the hash leaves out."""


class TableHash:
    """The hash of a table, updated one batch at a time. docs/records.md defines it."""

    def __init__(self, schema: Any) -> None:
        hashed = [field for field in schema if not field.name.startswith(TIMES)]
        self._columns = {field.name: _Node(field.type) for field in hashed}
        self._left_out = left_out(schema)

    def update(self, batch: Any) -> None:
        """Add the next rows."""
        for name, node in self._columns.items():
            node.update(batch.column(name))

    def column(self, name: str) -> bytes:
        """The hash of one column so far."""
        return self._left_out[name] if name in self._left_out else self._columns[name].digest()

    def hexdigest(self) -> str:
        """The hash of all rows so far."""
        total = hashlib.sha256()
        for name in sorted([*self._columns, *self._left_out]):
            total.update(f"{name}\n".encode() + self.column(name))
        return total.hexdigest()


def table_hash(schema: Any, batches: Iterable[Any]) -> str:
    """The content hash of a table, given as batches."""
    total = TableHash(schema)
    for batch in batches:
        total.update(batch)
    return total.hexdigest()


class _Node:
    """The hash of a column, or of the values in its lists."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._slots = 0
        self._nulls = hashlib.sha256()
        self._lengths = hashlib.sha256()
        self._values = hashlib.sha256()
        self._children: list[_Node] = []
        if pa.types.is_map(kind):
            self._children = [_Node(kind.key_type), _Node(kind.item_type)]
        elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            self._children = [_Node(kind.value_type)]

    def update(self, array: Any) -> None:
        if array.null_count:
            null = np.flatnonzero(np.asarray(array.is_null()))
            self._nulls.update(_little(null.astype(np.int64) + self._slots))
        self._slots += len(array)
        if array.null_count:
            array = array.drop_null()
        for child, inside in zip(self._children, self._feed(array), strict=True):
            child.update(inside)

    def _feed(self, array: Any) -> list[Any]:
        """Hash this level of an array without nulls; returns the arrays inside it."""
        kind = self._kind
        if pa.types.is_fixed_size_list(kind):
            return [array.flatten()]
        if pa.types.is_list(kind):
            self._lengths.update(_little(np.asarray(pc.list_value_length(array)).astype(np.int64)))
            return [array.flatten()]
        if pa.types.is_map(kind):
            offsets = np.asarray(array.offsets).astype(np.int64)
            self._lengths.update(_little(np.diff(offsets)))
            # keys and items cover the whole buffer even for a slice.
            return [inside.slice(offsets[0], offsets[-1] - offsets[0]) for inside in (array.keys, array.items)]
        if pa.types.is_string(kind):
            self._lengths.update(_little(np.asarray(pc.binary_length(array)).astype(np.int64)))
            self._values.update("".join(array.to_pylist()).encode())
        elif pa.types.is_boolean(kind):
            self._values.update(np.asarray(array).astype(np.uint8).tobytes())
        else:
            self._values.update(_little(np.asarray(array)))
        return []

    def digest(self) -> bytes:
        head = f"{type_name(self._kind)}\n{self._slots}\n".encode()
        own = self._nulls.digest() + self._lengths.digest() + self._values.digest()
        return hashlib.sha256(head + own + b"".join(child.digest() for child in self._children)).digest()


def _little(values: NDArray[Any]) -> memoryview:
    if sys.byteorder != "little":
        values = values.byteswap()
    return np.ascontiguousarray(values).view(np.uint8).data
