"""A table while a run goes on: Arrow IPC streams, one shard each time that the run is started or resumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lagbench.errors import RecordError
from lagbench.records.files import replacing

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_CHUNK = 1 << 20


class Stream:
    """One shard, open to be appended to. A batch is handed to the operating system in one write.

    Args:
        file: what to create.
        schema: of its table.
    """

    def __init__(self, file: Path, schema: Any) -> None:
        self.file = file
        self._empty = pa.RecordBatch.from_pylist([], schema=schema).serialize()
        self._out = file.open("xb", buffering=0)
        self.end = 0
        try:
            self._write(schema.serialize())
        except BaseException:
            self._out.close()
            raise

    def append(self, batch: Any) -> None:
        """Write a batch, or one without rows for None. Raises OSError; ``cut`` then undoes what was written of it."""
        self._write(self._empty if batch is None else batch.serialize())

    def cut(self, end: int) -> None:
        """Undo what was written after ``end``."""
        self._out.truncate(end)
        self._out.seek(end)
        self.end = end

    def close(self) -> None:
        """Write the end-of-stream marker and close. Harmless a second time."""
        if self._out.closed:
            return
        end = self.end
        with self._out:
            try:
                self._write(_END)
            except OSError:
                # A full disk has no room for the marker; without it a stream reads as well, with half of it not.
                self.cut(end)

    def abandon(self) -> None:
        """Close without the marker. Harmless a second time, and after ``close``."""
        self._out.close()

    def _write(self, data: Any) -> None:
        view = memoryview(data)
        while len(view):
            written = self._out.write(view)
            view = view[written:]
            self.end += written


def shards(directory: Path) -> list[Path]:
    """A table's shards in order, none where there is no directory. Raises RecordError where one is missing."""
    found = sorted(directory.glob("*.arrows"))
    for number, file in enumerate(found):
        if file.name != shard_name(number):
            raise RecordError(f"{directory / shard_name(number)} is missing; restore it from a copy of the run")
    return found


def shard_name(number: int) -> str:
    """The file name of a table's shard."""
    return f"{number:05d}.arrows"


def ends(file: Path) -> list[int]:
    """The byte at which each whole message of a shard ends: the schema's first, then each batch's.

    Stops at the first message that is not whole: what a process left that was killed while it wrote.
    """
    found: list[int] = []
    if not file.stat().st_size:
        return found
    with pa.memory_map(str(file)) as source:
        while True:
            try:
                pa.ipc.read_message(source)
            except (EOFError, pa.ArrowInvalid, OSError):
                return found
            found.append(source.tell())


def schema(directory: Path) -> Any:
    """The schema of a table's shards, None where there is none yet."""
    for file in shards(directory):
        if ends(file):
            with pa.OSFile(str(file)) as source:
                return pa.ipc.open_stream(source).schema
    return None


def whole_batches(directory: Path) -> int:
    """Whole batches of a table, over all its shards."""
    return sum(max(len(ends(file)) - 1, 0) for file in shards(directory))


def read(directory: Path, count: int) -> Iterator[Any]:
    """A table's first ``count`` batches, over all its shards, one at a time.

    Raises RecordError where there are fewer or they cannot be read.
    """
    for cut in plan(directory, count):
        if cut.batches:
            yield from _read_shard(cut.file, cut.batches)


def _read_shard(file: Path, count: int) -> Iterator[Any]:
    try:
        with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as reader:
            for _ in range(count):
                yield reader.read_next_batch()
    except (StopIteration, pa.ArrowException, OSError) as error:
        raise RecordError(f"{file} cannot be read ({error}); restore it from a copy of the run") from error


@dataclass(frozen=True)
class Cut:
    """A shard, the committed batches in it and the byte at which the last of them ends."""

    file: Path
    batches: int
    end: int


def plan(directory: Path, committed: int) -> list[Cut]:
    """How to cut a table's shards to its first ``committed`` batches. Raises RecordError where some are missing."""
    left = committed
    cuts = []
    for file in shards(directory):
        whole = ends(file)
        kept = min(left, max(len(whole) - 1, 0))
        cuts.append(Cut(file, kept, whole[kept] if kept else 0))
        left -= kept
    if left:
        raise RecordError(
            f"{directory} holds only {committed - left} of the {committed} phases that were committed; restore it "
            "from a copy of the run"
        )
    return cuts


def carry_out(cuts: Sequence[Cut]) -> int:
    """Cut a table's shards; the number that the next one takes.

    Only what lies behind the committed batches is ever touched, so that this may be killed and done again.
    """
    # Last first: what is left has no gap at any moment.
    for cut in reversed(cuts):
        if not cut.batches:
            cut.file.unlink()
        elif cut.file.stat().st_size not in (cut.end, cut.end + len(_END)):
            _rewrite(cut.file, cut.end)
    return sum(1 for cut in cuts if cut.batches)


def _rewrite(file: Path, end: int) -> None:
    """Cut a shard through a copy: a reader that has mapped the file would not survive losing its tail."""
    with file.open("rb") as source, replacing(file) as out:
        while end:
            data = source.read(min(end, _CHUNK))
            out.write(data)
            end -= len(data)
        out.write(_END)
