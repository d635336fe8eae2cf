"""Export to Parquet: one file per table, with the same columns, rows and order, and the schema's metadata."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet

from lagbench.records.export import Export, Progress, appearing, refuse_what_is_there
from lagbench.records.reader import Run
from lagbench.records.schema import tables_of
from lagbench.records.table_file import grouped

COMPRESSION = "zstd"


def write(run: Run, out: Path, progress: Progress) -> Export:
    """Write the run's tables. See ``export``."""
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
                pyarrow.parquet.ParquetWriter(target, dataset.schema, compression=COMPRESSION) as writer,
            ):
                for group in grouped(run.read(table)):
                    writer.write_table(group)
                    rows[table] += group.num_rows
                    progress(sum(rows.values()), total)
    without = f"no trajectories: {run.path} was run with --record episodes"
    notes = () if "trajectories" in datasets else (without,)
    return Export(out, rows, notes=notes)
