"""What an Arrow file declares of itself, read before Arrow is given it: nothing too large is ever decompressed.

Of an Arrow IPC file, the footer names the record batches, and a batch's message each buffer; a compressed buffer begins
with the size that it will have. All of it is read here by its published layout (flatbuffers: Footer in File.fbs,
Message and RecordBatch in Message.fbs), every offset held to the file, and added up as Arrow would allocate it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from lagbench import LagbenchError
from lagbench.leaderboard import limits

_MAGIC = b"ARROW1"
_START = 8
_CONTINUATION = 0xFFFFFFFF
_EXTENSION = b"ARROW:extension"
_RECORD_BATCH = 3
_VERSION = 4
"""MetadataVersion.V5, that of Arrow 1.0 and later."""


class GuardError(LagbenchError):
    """The file is none that Arrow may be given."""


@dataclass(frozen=True)
class Declared:
    """What a file says it holds: rows, record batches, and bytes once decompressed."""

    rows: int
    batches: int
    bytes: int


def declared(file: Path) -> Declared:
    """What an Arrow IPC file says it holds. Raises GuardError for one that is larger than the limits, or malformed."""
    with file.open("rb") as source:
        content = source.read(limits.FILE_BYTES + 1)
    if len(content) > limits.FILE_BYTES:
        raise GuardError(f"it is larger than {limits.FILE_BYTES:,} bytes")
    try:
        return _declared(memoryview(content))
    except struct.error:
        raise GuardError("it is not a whole Arrow file: something in it lies outside of it") from None


def _declared(content: memoryview) -> Declared:
    footer_at, footer = _footer(content)
    if len(footer.vector(2, "<qi4xq")):
        raise GuardError("it has dictionary batches, and no table of a run does")
    # Field metadata is in the schema, which footer and first message have: before the first batch, and after the last.
    blocks = footer.vector(3, "<qi4xq")
    if len(blocks) > limits.BATCHES:
        raise GuardError(f"it has {len(blocks):,} record batches, and {limits.BATCHES:,} are allowed")
    first = blocks[0][0] if blocks else footer_at
    if _EXTENSION in bytes(content[: max(first, 0)]) or _EXTENSION in bytes(content[footer_at:]):
        raise GuardError("it has a column of an extension type, and no table of a run does")
    rows = size = 0
    free = _START
    for offset, head, body in blocks:
        # Each byte belongs to one batch at most: else a small file could have one read thousands of times.
        if not (free <= offset and head >= 8 and body >= 0 and offset + head + body <= footer_at):
            raise GuardError("a record batch lies outside of the file, or upon another")
        free = offset + head + body
        own_rows, own_size = _batch(content[offset : offset + head], content[offset + head : offset + head + body])
        rows, size = rows + own_rows, size + own_size
        if rows > limits.ROWS:
            raise GuardError(f"it declares more than {limits.ROWS:,} rows")
        if size > limits.TABLE_BYTES:
            raise GuardError(f"it declares more than {limits.TABLE_BYTES:,} bytes once decompressed")
    return Declared(rows, len(blocks), size)


def _footer(content: memoryview) -> tuple[int, _Table]:
    """Where the footer begins, and the footer."""
    if len(content) < _START + 4 + len(_MAGIC) or content[:6] != _MAGIC or content[-6:] != _MAGIC:
        raise GuardError("it is not an Arrow IPC file")
    (length,) = struct.unpack_from("<i", content, len(content) - 10)
    at = len(content) - 10 - length
    if length <= 0 or at < _START:
        raise GuardError("it is not a whole Arrow file: its footer lies outside of it")
    return at, _Table.root(content[at : at + length])


def _batch(head: memoryview, body: memoryview) -> tuple[int, int]:
    """Rows of a record batch, and its bytes once decompressed."""
    continuation, length = struct.unpack_from("<Ii", head)
    if continuation != _CONTINUATION or not 0 < length <= len(head) - 8:
        raise GuardError("a record batch is not framed as Arrow frames it")
    message = _Table.root(head[8 : 8 + length])
    if message.scalar(1, "<B") != _RECORD_BATCH or message.scalar(3, "<q") != len(body):
        raise GuardError("a message is no record batch, or not of the size that the footer says")
    if message.scalar(0, "<h") != _VERSION or message.has(4):
        # The version before had compression stand in the message's own metadata.
        raise GuardError("a record batch is of another version of the format than 1.0, or has metadata of its own")
    batch = message.table(2)
    rows = batch.scalar(0, "<q")
    if rows < 0:
        raise GuardError("a record batch declares a negative number of rows")
    for values, nulls in batch.vector(1, "<qq"):
        if not 0 <= nulls <= values <= limits.TABLE_BYTES:
            raise GuardError("a column declares more values than a table may have, or more nulls than values")
    compressed = batch.has(3)
    size = 0
    for offset, length in batch.vector(2, "<qq"):
        if not (offset >= 0 and length >= 0 and offset + length <= len(body)):
            raise GuardError("a buffer lies outside of its record batch")
        size += _uncompressed(body[offset : offset + length]) if compressed and length else length
        if size > limits.TABLE_BYTES:
            # Not later: a list of so many buffers is added up in one batch.
            raise GuardError(f"it declares more than {limits.TABLE_BYTES:,} bytes once decompressed")
    return rows, size


def _uncompressed(buffer: memoryview) -> int:
    """The size that a compressed buffer will have; −1 stands before one that is not compressed."""
    (size,) = struct.unpack_from("<q", buffer)
    if size < -1:
        raise GuardError("a compressed buffer declares a negative size")
    return len(buffer) - 8 if size == -1 else int(size)


class _Table:
    """A flatbuffers table: fields by number, of which each may be absent. Whatever lies outside raises struct.error."""

    def __init__(self, content: memoryview, at: int) -> None:
        self._content = content
        self._at = at
        (back,) = _unpack("<i", content, at)
        self._vtable = at - back
        (self._size,) = _unpack("<H", content, self._vtable)

    @classmethod
    def root(cls, content: memoryview) -> _Table:
        return cls(content, *_unpack("<I", content, 0))

    def _field(self, number: int) -> int | None:
        """Where a field is, None where it is absent."""
        slot = 4 + 2 * number
        if slot + 2 > self._size:
            return None
        (offset,) = _unpack("<H", self._content, self._vtable + slot)
        return self._at + offset if offset else None

    def has(self, number: int) -> bool:
        return self._field(number) is not None

    def scalar(self, number: int, form: str) -> int:
        """A number; 0 where it is absent."""
        at = self._field(number)
        return 0 if at is None else int(_unpack(form, self._content, at)[0])

    def table(self, number: int) -> _Table:
        at = self._field(number)
        if at is None:
            raise GuardError("a message has no content")
        return _Table(self._content, at + _unpack("<I", self._content, at)[0])

    def vector(self, number: int, form: str) -> list[tuple[int, ...]]:
        """The elements of a vector of structs, each of that form; none where it is absent."""
        at = self._field(number)
        if at is None:
            return []
        at += _unpack("<I", self._content, at)[0]
        (length,) = _unpack("<I", self._content, at)
        start, end = at + 4, at + 4 + length * struct.calcsize(form)
        if end > len(self._content):
            raise GuardError("a list in the file's metadata lies outside of it")
        return list(struct.iter_unpack(form, self._content[start:end]))


def _unpack(form: str, content: memoryview, at: int) -> tuple[int, ...]:
    if at < 0:
        raise struct.error("before the beginning")
    return struct.unpack_from(form, content, at)
