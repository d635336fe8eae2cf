"""A slim run: a copy without single steps, small enough for a repository, with all that scoring takes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa

from lagbench.errors import RecordError
from lagbench.records import environment
from lagbench.records.content_hash import TableHash
from lagbench.records.export import Export, Progress, appearing, refuse_what_is_there
from lagbench.records.files import RESULT_FILE, SPEC_FILE, TABLE_FILE
from lagbench.records.kind import kind_of
from lagbench.records.reader import Run
from lagbench.records.schema import tables_of, without

COMPRESSION = "zstd"


def write(run: Run, out: Path, progress: Progress) -> Export:
    """Write a copy of a finished run, without the columns that hold single steps. See ``export``.

    The hash of each column that is left out stands in the table's metadata, so that the copy's content hashes are those
    of the run, and its result.json is the run's own.
    """
    refuse_what_is_there(out)
    if run.result is None:
        raise RecordError(f"{run.path} is not finished, and a copy could not be; see: lagbench resume {run.path}")
    run.verify()
    total, rows = sum(run.result["rows"].values()), {}
    with appearing(out) as directory:
        for table in tables_of(run.spec):
            (directory / table).mkdir()
            rows[table] = _copy(run, table, directory / table / TABLE_FILE)
            progress(sum(rows.values()), total)
        for name in (SPEC_FILE, environment.FILE, RESULT_FILE, *run.result["files"]):
            shutil.copyfile(run.path / name, directory / name)
    return Export(out, rows)


def _copy(run: Run, table: str, file: Path) -> int:
    schema = run.schema(table)
    hashes = TableHash(schema)
    steps = kind_of(run.spec).step_columns(table)
    dropped = schema.names if steps is None else [name for name in steps if name in schema.names]
    kept = [name for name in schema.names if name not in dropped]
    batches: list[Any] = []
    for batch in run.read(table):
        hashes.update(batch)
        batches.append(batch.select(kept))
    own = without(schema, {name: hashes.column(name) for name in dropped})
    with pa.ipc.new_file(str(file), own, options=pa.ipc.IpcWriteOptions(compression=COMPRESSION)) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(own.metadata))
    return sum(batch.num_rows for batch in batches)
