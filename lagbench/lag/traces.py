"""Traces: which version each actor held in each phase of a recorded run, as one Arrow table that any engine can write.

docs/lag.md defines the file. A trace is identified by the SHA-256 of its bytes; a run that replays one keeps a copy.
"""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lagbench import registry
from lagbench.errors import LagbenchError, UsageError
from lagbench.source import known
from lagbench.source.files import Source

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "trace.arrow"
COLUMNS = ("phase", "actor", "version")
_OF_RUN = "lagbench.records.reader:versions_of_run"


def pin(text: str) -> str:
    """The SHA-256 of the trace in a file or of a run, by which ``versions`` then finds it. Raises UsageError."""
    path = Path(text).expanduser()
    if path.is_file():
        content = path.read_bytes()
    else:
        try:
            content = to_bytes(registry.load(_OF_RUN)(text))
        except LagbenchError as error:
            raise UsageError(f"there is no trace in {text!r}: {error}") from error
    _matrix(_table(content, text), text)
    return known.remember(Source(FILE, {FILE: content}, {FILE: text})).sha256


def source(sha256: str) -> Source:
    """The file of a trace, for a run to copy. Raises UsageError if it is not found."""
    return known.find_file("trace", sha256, FILE)


@functools.lru_cache(maxsize=8)
def versions(sha256: str) -> NDArray[np.int64]:
    """The versions [phases, actors] of a trace. Raises UsageError if it is not found."""
    if not sha256:
        raise UsageError("no trace was given; give --lag-mode trace:RUN, or trace:FILE (docs/lag.md)")
    found = source(sha256)
    return _matrix(_table(found.text, found.place), found.place)


def check_shape(versions: NDArray[np.int64], phases: int, actors: int) -> None:
    """Raise UsageError if a trace has another number of phases or actors than the run."""
    if versions.shape != (phases, actors):
        has, wanted = (f"{p} phases of {n} actors" for p, n in (versions.shape, (phases, actors)))
        raise UsageError(
            f"the trace has {has}, and this run {wanted}; give --actors {versions.shape[1]} and the --budget of "
            f"{versions.shape[0]} phases, or another trace"
        )


def to_bytes(versions: NDArray[np.int64]) -> bytes:
    """The content of a trace file with these versions [phases, actors]."""
    import pyarrow as pa

    phases, actors = versions.shape
    columns = [np.repeat(np.arange(phases), actors), np.tile(np.arange(actors), phases), versions.ravel()]
    table = pa.table({name: pa.array(x, pa.int32()) for name, x in zip(COLUMNS, columns, strict=True)})
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def _table(content: bytes, place: str) -> pa.Table:
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.BufferReader(content)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise UsageError(
            f"{place} is not a trace: it cannot be read as an Arrow IPC file ({' '.join(str(error).split())})"
        ) from error
    for name in COLUMNS:
        if name not in table.column_names or not pa.types.is_integer(table.schema.field(name).type):
            raise UsageError(f"{place} is not a trace: it has no column {name!r} of integers; see docs/lag.md")
    return table


def _matrix(table: pa.Table, place: str) -> NDArray[np.int64]:
    if not table.num_rows or any(table[name].null_count for name in COLUMNS):
        raise UsageError(f"the trace {place} has {'nulls' if table.num_rows else 'no rows'}; see docs/lag.md")
    phase, actor, version = (np.asarray(table[name]).astype(np.int64) for name in COLUMNS)
    shape = int(phase.max()) + 1, int(actor.max()) + 1
    seen = np.zeros(shape, dtype=np.int64) if len(phase) == shape[0] * shape[1] else np.zeros((1, 1), dtype=np.int64)
    if seen.size == len(phase) and min(phase.min(), actor.min()) >= 0:
        np.add.at(seen, (phase, actor), 1)
    if not (seen == 1).all():
        raise UsageError(
            f"the trace {place} does not have one row for each of {shape[0]} phases and {shape[1]} actors, which are "
            "counted from 0"
        )
    if len(wrong := np.flatnonzero((version < 0) | (version > phase))):
        i: Any = wrong[0]
        raise UsageError(
            f"the trace {place} gives actor {actor[i]} version {version[i]} in phase {phase[i]}, where there are "
            f"versions 0 to {phase[i]}"
        )
    found = np.empty(shape, dtype=np.int64)
    found[phase, actor] = version
    return found
