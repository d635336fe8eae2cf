"""The tables of an unfinished run: Arrow IPC streams, one shard per start or resume.

Each shard has a file of checksums: one line per message of the stream, written before it, with the offset of the
message's end and its CRC-32. Arrow reads only bytes that match them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from lagbench.errors import RecordError
from lagbench.records.files import replacing
from lagbench.records.mapped import mapped

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_CHUNK = 1 << 20
_SUM = re.compile(rb"([0-9a-f]{16}) ([0-9a-f]{8})\n")
_SUM_SIZE = 26
_RESTORE = "restore it from a copy of the run"


class Position(NamedTuple):
    """The sizes of a shard and of its checksum file."""

    end: int
    sums: int


class Stream:
    """One shard, open for appending. A batch is passed to the operating system in one write.

    Args:
        file: the shard to create.
        schema: the table's schema.
    """

    def __init__(self, file: Path, schema: Any) -> None:
        self.file = file
        self.position = Position(0, 0)
        self._empty = pa.RecordBatch.from_pylist([], schema=schema).serialize()
        self._out = file.open("xb", buffering=0)
        try:
            self._sums = sums_file(file).open("wb", buffering=0)
        except BaseException:
            self._out.close()
            raise
        try:
            self._append(schema.serialize())
        except BaseException:
            self.abandon()
            raise

    def append(self, batch: Any) -> None:
        """Write a batch; None: an empty one. Raises OSError; ``cut`` then removes a partial write."""
        self._append(self._empty if batch is None else batch.serialize())

    def cut(self, position: Position) -> None:
        """Remove everything after ``position``."""
        for out, size in ((self._out, position.end), (self._sums, position.sums)):
            out.truncate(size)
            out.seek(size)
        self.position = position

    def close(self) -> None:
        """Write the end-of-stream marker and close. Idempotent."""
        if self._out.closed:
            return
        with self._out, self._sums:
            try:
                _write(self._out, _END)
            except OSError:
                # On a full disk: a stream without the marker is readable, one with half of it is not.
                self._out.truncate(self.position.end)

    def abandon(self) -> None:
        """Close without the marker. Idempotent, also after ``close``."""
        self._out.close()
        self._sums.close()

    def _append(self, message: Any) -> None:
        end = self.position.end + len(message)
        _write(self._sums, b"%016x %08x\n" % (end, zlib.crc32(message)))
        _write(self._out, message)
        self.position = Position(end, self.position.sums + _SUM_SIZE)


def _write(out: IO[bytes], data: Any) -> None:
    view = memoryview(data)
    while len(view):
        view = view[out.write(view) :]


def shards(directory: Path) -> list[Path]:
    """A table's shards in order; empty without a directory. Raises RecordError if one is missing."""
    found = sorted(directory.glob("*.arrows"))
    for number, file in enumerate(found):
        if file.name != shard_name(number):
            raise RecordError(f"{directory / shard_name(number)} is missing; {_RESTORE}")
    return found


def shard_name(number: int) -> str:
    """The file name of a table's shard."""
    return f"{number:05d}.arrows"


def sums_file(shard: Path) -> Path:
    """The file of a shard's checksums."""
    return shard.with_suffix(".sums")


@dataclass(frozen=True)
class Message:
    """A message of a stream, the schema or a batch, in bytes ``start:end`` of its shard."""

    start: int
    end: int
    crc32: int


def _checked(file: Path, *, last: bool) -> list[Message]:
    """The complete messages of a shard. Raises RecordError if bytes are missing or added that a kill cannot explain."""
    size, messages = _stable(file)
    whole = _within(size, messages)
    # A message can be incomplete only in the last shard.
    if len(messages) - len(whole) > last:
        raise RecordError(f"{file} is truncated: its checksums list {len(messages) - len(whole)} more; {_RESTORE}")
    if len(messages) == len(whole) and size > (end := whole[-1].end if whole else 0):
        with file.open("rb") as source:
            source.seek(end)
            tail = source.read(len(_END) + 1)
        if not _END.startswith(tail):
            raise RecordError(f"{file} has more data than {sums_file(file).name} lists; {_RESTORE}")
    return whole


def _within(size: int, messages: Sequence[Message]) -> list[Message]:
    return [message for message in messages if message.end <= size]


def _stable(file: Path) -> tuple[int, list[Message]]:
    """A consistent pair of a shard's size and its messages according to the checksums, even while it is written."""
    while True:
        size = file.stat().st_size
        messages = _messages(sums_file(file))
        if file.stat().st_size == size:
            return size, messages


def _messages(sums: Path) -> list[Message]:
    try:
        text = sums.read_bytes()
    except FileNotFoundError:
        return []
    found: list[Message] = []
    for at in range(0, len(text) - _SUM_SIZE + 1, _SUM_SIZE):
        line = _SUM.fullmatch(text, at, at + _SUM_SIZE)
        start = found[-1].end if found else 0
        if line is None or int(line[1], 16) <= start:
            raise RecordError(f"{sums} is damaged: line {len(found) + 1} is not a checksum line; {_RESTORE}")
        found.append(Message(start, int(line[1], 16), int(line[2], 16)))
    return found


def schema(directory: Path) -> Any:
    """The schema of a table's shards; None if there is none yet. Raises RecordError if it is damaged."""
    for file in shards(directory):
        if messages := _within(*_stable(file)):
            return _open(file, mapped(file), messages[:1]).schema
    return None


def whole_batches(directory: Path) -> int:
    """The number of complete batches in all shards of a table. Raises RecordError if some are damaged or missing."""
    files = shards(directory)
    for sums in directory.glob("*.sums"):
        if sums.with_suffix(".arrows") not in files:
            raise RecordError(f"{sums.with_suffix('.arrows')} is missing; {_RESTORE}")
    return sum(max(len(_checked(file, last=file == files[-1])) - 1, 0) for file in files)


def read(directory: Path, count: int) -> Iterator[Any]:
    """Yield a table's first ``count`` batches, over all its shards; each is verified first.

    Raises RecordError if there are fewer or they cannot be read.
    """
    first = schema(directory) if count else None
    for cut in plan(directory, count):
        if cut.messages:
            yield from _read_shard(cut, first)


def _read_shard(cut: Cut, first: Any) -> Iterator[Any]:
    content = mapped(cut.file)
    reader = _open(cut.file, content, cut.messages)
    if not reader.schema.equals(first, check_metadata=True):
        raise RecordError(f"{cut.file} has different columns than earlier shards; {_RESTORE}")
    for message in cut.messages[1:]:
        _check(cut.file, content, message)
        try:
            batch = reader.read_next_batch()
            batch.validate(full=True)
        except (StopIteration, pa.ArrowException, OSError) as error:
            raise RecordError(f"{cut.file} cannot be read ({error}); {_RESTORE}") from error
        yield batch


def _open(file: Path, content: Any, messages: Sequence[Message]) -> Any:
    _check(file, content, messages[0])
    try:
        return pa.ipc.open_stream(pa.BufferReader(content[: messages[-1].end]))
    except (pa.ArrowException, OSError) as error:
        raise RecordError(f"{file} cannot be read ({error}); {_RESTORE}") from error


def _check(file: Path, content: Any, message: Message) -> None:
    if zlib.crc32(memoryview(content)[message.start : message.end]) != message.crc32:
        raise RecordError(f"{file} is damaged: a checksum in {sums_file(file).name} does not match; {_RESTORE}")


@dataclass(frozen=True)
class Cut:
    """A shard and its messages to keep: the schema and the committed batches, or none."""

    file: Path
    messages: Sequence[Message]

    @property
    def batches(self) -> int:
        """Committed batches."""
        return max(len(self.messages) - 1, 0)


def plan(directory: Path, committed: int) -> list[Cut]:
    """How to cut a table's shards to its first ``committed`` batches. Raises RecordError if some are missing."""
    left = committed
    cuts = []
    for file in shards(directory):
        whole = _within(*_stable(file))
        kept = min(left, max(len(whole) - 1, 0))
        cuts.append(Cut(file, whole[: kept + 1] if kept else ()))
        left -= kept
    if left:
        raise RecordError(
            f"{directory} contains only {committed - left} of the {committed} committed phases; {_RESTORE}"
        )
    return cuts


def verify(cuts: Sequence[Cut]) -> None:
    """Raise RecordError if a message to keep does not match its checksum."""
    for cut in cuts:
        content = mapped(cut.file)
        for message in cut.messages:
            _check(cut.file, content, message)


def carry_out(directory: Path, cuts: Sequence[Cut]) -> int:
    """Cut a table's shards; returns the number of the next shard.

    Only data after the committed batches is changed, so this can be killed and repeated.
    """
    kept = [cut for cut in cuts if cut.batches]
    # Last first, so that the remaining shards have no gap at any time.
    for cut in reversed(cuts):
        if not cut.batches:
            cut.file.unlink()
            continue
        end = cut.messages[-1].end
        if cut.file.stat().st_size not in (end, end + len(_END)):
            _rewrite(cut.file, end, _END)
        sums, size = sums_file(cut.file), len(cut.messages) * _SUM_SIZE
        if sums.stat().st_size != size:
            _rewrite(sums, size, b"")
    for sums in {*directory.glob("*.sums")} - {sums_file(cut.file) for cut in kept}:
        sums.unlink()
    return len(kept)


def remove(directory: Path) -> None:
    """Delete a table's shards."""
    # Last first, so that the remaining shards have no gap at any time.
    for file in reversed(sorted(directory.glob("*.arrows"))):
        file.unlink(missing_ok=True)
    for sums in directory.glob("*.sums"):
        sums.unlink(missing_ok=True)


def _rewrite(file: Path, size: int, end: bytes) -> None:
    """Cut a file by replacing it with a copy: truncation would crash a reader that has it memory-mapped."""
    with file.open("rb") as source, replacing(file) as out:
        while size:
            data = source.read(min(size, _CHUNK))
            out.write(data)
            size -= len(data)
        out.write(end)
