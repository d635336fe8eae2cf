"""Slim runs: copies without single steps, small enough for a repository, with everything that scoring needs."""

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
from lagbench.source.files import COPIES

COMPRESSION = "zstd"


def write(run: Run, out: Path, progress: Progress) -> Export:
    """Write a copy of a finished run without the columns of single steps. See ``export``.

    The hashes of omitted columns are in the tables' metadata, so that the copy has the run's content hashes and its
    result.json.
    """
    refuse_what_is_there(out)
    if run.result is None:
        raise RecordError(f"{run.path} is not finished and cannot be copied; see: lagbench resume {run.path}")
    run.verify()
    total, rows = sum(run.result["rows"].values()), {}
    with appearing(out) as directory:
        for table in tables_of(run.spec):
            (directory / table).mkdir()
            rows[table] = _copy(run, table, directory / table / TABLE_FILE)
            progress(sum(rows.values()), total)
        for name in (SPEC_FILE, environment.FILE, RESULT_FILE, *run.result["files"]):
            shutil.copyfile(run.path / name, directory / name)
        for name in COPIES:
            if (run.path / name).is_dir():
                shutil.copytree(run.path / name, directory / name)
    return Export(out, rows)


def _copy(run: Run, table: str, file: Path) -> int:
    schema = run.schema(table)
    hashes = TableHash(schema)
    steps = kind_of(run.spec).step_columns(table)
    dropped = list(schema.names) if steps is None else [name for name in steps if name in schema.names]
    kept = [name for name in schema.names if name not in dropped]
    batches: list[Any] = []
    rows = 0
    for batch in run.read(table):
        hashes.update(batch)
        rows += batch.num_rows
        if kept:
            batches.append(batch.select(kept))
    own = without(schema, {name: hashes.column(name) for name in dropped})
    options = pa.ipc.IpcWriteOptions(compression=COMPRESSION)
    with file.open("wb") as out, pa.ipc.new_file(out, own, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch.replace_schema_metadata(own.metadata))
    return rows
