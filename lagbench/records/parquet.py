"""A run as Parquet: one file per table, with its columns, rows and order, and the schema's metadata."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from lagbench.records.export import Export, Progress, appearing, refuse_what_is_there
from lagbench.records.reader import Run
from lagbench.records.schema import tables_of

COMPRESSION = "zstd"
_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 1 << 25


def write(run: Run, out: Path, progress: Progress) -> Export:
    """Write the tables that the run has. See ``export``."""
    refuse_what_is_there(out)
    run.verify()
    datasets = {table: getattr(run, table) for table in tables_of(run.spec)}
    total = sum(dataset.count_rows() for dataset in datasets.values())
    rows = dict.fromkeys(datasets, 0)
    with appearing(out) as directory:
        for table, dataset in datasets.items():
            file = directory / f"{table}.parquet"
            with (
                file.open("wb") as target,
                pa.parquet.ParquetWriter(target, dataset.schema, compression=COMPRESSION) as writer,
            ):
                for group in _groups(run.read(table)):
                    writer.write_table(group)
                    rows[table] += group.num_rows
                    progress(sum(rows.values()), total)
    without = f"no trajectories: {run.path} was run with --record episodes"
    notes = () if "trajectories" in datasets else (without,)
    return Export(out, rows, notes=notes)


def _groups(batches: Iterator[Any]) -> Iterator[Any]:
    """Row groups as tables, neither large nor one for each phase of a run that is not finished."""
    group: list[Any] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(group)
            group, rows, size = [], 0, 0
    if group:
        yield pa.Table.from_batches(group)
