"""Columns as torch tensors that share memory with Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from lagbench.errors import UsageError, unknown
from lagbench.records.episodes import as_numpy


def batches(source: Iterable[Any], schema: Any, columns: Sequence[str], batch_size: int) -> Iterator[dict[str, Tensor]]:
    """Rows as tensors [n], or [n, size] for fixed-size lists; n = ``batch_size``, the last may be less.

    They share Arrow's memory, except for booleans, which Arrow packs, and batches that span two of ``source``'s. Raises
    UsageError for a missing column or one that cannot be a tensor.
    """
    if batch_size < 1:
        raise UsageError(f"the batch size must be at least 1, not {batch_size}")
    for name in columns:
        _check(name, schema)
    return _batches(source, columns, batch_size)


def _batches(source: Iterable[Any], columns: Sequence[str], batch_size: int) -> Iterator[dict[str, Tensor]]:
    pieces: list[dict[str, Tensor]] = []
    missing = batch_size
    for batch in source:
        tensors = {name: tensor(batch.column(name)) for name in columns}
        first = 0
        while first < batch.num_rows:
            last = min(first + missing, batch.num_rows)
            pieces.append({name: values[first:last] for name, values in tensors.items()})
            missing -= last - first
            first = last
            if not missing:
                yield _joined(pieces)
                pieces, missing = [], batch_size
    if pieces:
        yield _joined(pieces)


def tensor(column: Any) -> Tensor:
    """A column of numbers, booleans or fixed-size lists, without nulls, as a tensor."""
    if pa.types.is_fixed_size_list(column.type):
        return tensor(column.flatten()).view(-1, column.type.list_size)
    if pa.types.is_boolean(column.type):
        return torch.from_numpy(as_numpy(column))
    return from_dlpack(column)


def _joined(pieces: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    if len(pieces) == 1:
        return pieces[0]
    return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}


def _check(name: str, schema: Any) -> None:
    if name not in schema.names:
        raise unknown("column", name, schema.names)
    kind = schema.field(name).type
    inner = kind.value_type if pa.types.is_fixed_size_list(kind) else kind
    if not pa.types.is_primitive(inner):
        raise UsageError(f"the column {name!r} is {kind}, which cannot be a tensor; read it from the table")
