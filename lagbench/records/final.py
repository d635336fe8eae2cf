"""final.arrow: the scored episodes of a run's final evaluation, with the data to replay them.

A slim run has no single steps; this file beside it has those that a final score rests on. Its rows and columns are
those of ``evaluations``, without the columns that a replay makes again (``RecordKind.replayed_columns``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lagbench.records import table_file
from lagbench.records.files import replacing
from lagbench.records.kind import RecordKind, kind_of
from lagbench.records.reader import Run
from lagbench.records.schema import as_table
from lagbench.records.slim import COMPRESSION

FILE = "final.arrow"
TABLE = "final"


def expected(run: Run) -> bool:
    """Whether a run has a final evaluation: one that diverged before it ended has none."""
    return run.status == "completed"


def schema(evaluations: Any, kind: RecordKind) -> Any:
    """The schema of the file, from that of a run's ``evaluations`` as it was recorded."""
    kept = [name for name in evaluations.names if name not in kind.replayed_columns()]
    return as_table(evaluations, TABLE, kept)


def write(run: Run, file: Path) -> int:
    """Write it; how many rows. Raises RecordError for a run that is slim, or cannot be read."""
    run.check_steps("evaluations")
    own = schema(run.schema("evaluations"), kind_of(run.spec))
    rows = 0
    options = pa.ipc.IpcWriteOptions(compression=COMPRESSION)
    with replacing(file) as out, pa.ipc.new_file(out, own, options=options) as writer:
        for batch in run.read("evaluations"):
            chosen = batch.filter(is_final(batch, run)).select(own.names)
            if chosen.num_rows:
                writer.write_batch(chosen.replace_schema_metadata(own.metadata))
                rows += chosen.num_rows
    return rows


def is_final(batch: Any, run: Run) -> Any:
    """By row of ``evaluations``, whether it is one of the final evaluation, of those that are scored."""
    return pc.and_(pc.equal(batch["version"], run.spec.phases), pc.equal(batch["mode"], run.spec.evaluation.measure))


def batches(file: Path) -> Iterator[Any]:
    """The batches of the file, each held to its structure. Raises RecordError where they cannot be read."""
    return table_file.batches(file, TABLE)


def episodes(run: Run, file: Path) -> Iterator[Any]:
    """The episodes, in order, as ``Run.evaluation_episodes`` gives them; what a replay makes again is None.

    Raises RecordError where they cannot be read.
    """
    return kind_of(run.spec).evaluation_episodes(batches(file))
