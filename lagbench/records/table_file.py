"""Tables of finished runs: one Arrow IPC file each, whose structure is verified before its values are read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset

from lagbench.errors import RecordError
from lagbench.records.mapped import mapped
from lagbench.records.schema import check_table

_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 1 << 25


def unreadable(file: Path, error: object) -> RecordError:
    """The error for a damaged file."""
    reason = " ".join(str(error).split())
    return RecordError(f"{file} cannot be read ({reason}); restore it from a copy of the run")


@contextmanager
def readable(file: Path) -> Iterator[None]:
    """Turn any error that Arrow raises for a damaged file into a RecordError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        raise unreadable(file, error) from error


def schema(file: Path, table: str) -> Any:
    """The schema. Raises RecordError if it is not that table's."""
    with readable(file):
        found = pa.ipc.open_file(pa.BufferReader(mapped(file))).schema
        check_table(found, table, file)
        return found


def batches(file: Path, table: str) -> Iterator[Any]:
    """Yield the batches in order, memory-mapped; the structure of each is verified first.

    Raises RecordError if they cannot be read.
    """
    with readable(file):
        reader = pa.ipc.open_file(pa.BufferReader(mapped(file)))
        check_table(reader.schema, table, file)
    for i in range(reader.num_record_batches):
        with readable(file):
            batch = reader.get_batch(i)
            # Lengths, offsets and text: wrong ones would make Arrow read outside its buffers.
            batch.validate(full=True)
        yield batch


def grouped(batches: Iterator[Any]) -> Iterator[Any]:
    """The rows of batches as non-empty tables, large enough to read fast and small enough to limit memory."""
    group: list[Any] = []
    rows = size = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(group)
            group, rows, size = [], 0, 0
    if group:
        yield pa.Table.from_batches(group)


def dataset(file: Path, table: str, rows: int) -> Any:
    """The table as a pyarrow dataset. Raises RecordError if it cannot be read or does not have ``rows`` rows."""
    found = sum(batch.num_rows for batch in batches(file, table))
    if found != rows:
        raise RecordError(f"{file} has {found} rows where {rows} were recorded; restore it from a copy of the run")
    with readable(file):
        try:
            # Arrow needs paths in UTF-8, whatever the locale.
            return pa.dataset.dataset(os.fsencode(file).decode(), format="ipc")
        except UnicodeDecodeError:
            return pa.dataset.dataset(pa.ipc.open_file(pa.BufferReader(mapped(file))).read_all())
