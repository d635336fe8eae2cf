"""An Arrow file's metadata written over where it stands: what no library writes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

Numbers = tuple[int, ...]


class File:
    """The bytes of an Arrow IPC file, and where in them what is."""

    def __init__(self, content: bytes) -> None:
        self.content = bytearray(content)
        (length,) = struct.unpack_from("<i", content, len(content) - 10)
        self.footer = self._follow(len(content) - 10 - length)

    def _follow(self, at: int) -> int:
        """Where the offset at a place leads."""
        return at + int(struct.unpack_from("<I", self.content, at)[0])

    def slot(self, table: int, number: int) -> int:
        """Where a table notes where its field of that number is."""
        return table - int(struct.unpack_from("<i", self.content, table)[0]) + 4 + 2 * number

    def field(self, table: int, number: int) -> int:
        """Where a field of a table is."""
        (offset,) = struct.unpack_from("<H", self.content, self.slot(table, number))
        assert offset, "the field is absent"
        return table + int(offset)

    def child(self, table: int, number: int) -> int:
        """The table that a field of a table leads to."""
        return self._follow(self.field(table, number))

    def vector(self, table: int, number: int, size: int) -> list[int]:
        """Where each element of a vector is, of structs of ``size`` bytes."""
        start = self.child(table, number)
        (length,) = struct.unpack_from("<I", self.content, start)
        return [start + 4 + i * size for i in range(length)]

    def blocks(self) -> list[int]:
        """Where the footer has the struct of each record batch: <qi4xq, of offset, metadata and body."""
        return self.vector(self.footer, 3, 24)

    def batch(self, number: int) -> tuple[int, int]:
        """Where a record batch's table is, and its body."""
        offset, head, _ = struct.unpack_from("<qi4xq", self.content, self.blocks()[number])
        return self.child(self._follow(offset + 8), 2), offset + head

    def write(self, at: int, form: str, *values: int) -> None:
        """Numbers over what stands there."""
        struct.pack_into(form, self.content, at, *values)

    def read(self, at: int, form: str) -> Numbers:
        """The numbers that stand there."""
        return struct.unpack_from(form, self.content, at)

    def schemas(self) -> Iterator[int]:
        """The schema's tables: that of the first message, and that of the footer."""
        yield self.child(self._follow(8 + 8), 2)
        yield self.child(self.footer, 1)


def patched(change: Callable[[File], object]) -> Callable[[bytes], bytes]:
    """A function from a file's bytes to those with a change; they are all that differs."""

    def patch(content: bytes) -> bytes:
        file = File(content)
        change(file)
        return bytes(file.content)

    return patch


def big_endian(file: File) -> None:
    """Has a schema say that every number is written the other way round, by a field that is never written."""
    for schema in file.schemas():
        # Its default is not written, so that there is no room for it; it can stand wherever there is a 1.
        at = next(i for i in range(schema + schema % 2, len(file.content), 2) if file.content[i : i + 2] == b"\1\0")
        file.write(file.slot(schema, 0), "<H", at - schema)


def rows(count: int) -> Callable[[File], None]:
    """So many rows in the first batch, and as many values in each of its columns."""

    def change(file: File) -> None:
        batch, _ = file.batch(0)
        (before,) = file.read(file.field(batch, 0), "<q")
        file.write(file.field(batch, 0), "<q", count)
        for node in file.vector(batch, 1, 16):
            if file.read(node, "<q") == (before,):
                file.write(node, "<q", count)

    return change


def length(count: int) -> Callable[[File], None]:
    """So many rows in the first batch, and the columns as they are."""

    def change(file: File) -> None:
        batch, _ = file.batch(0)
        file.write(file.field(batch, 0), "<q", count)

    return change


def nodes(values: int, nulls: int) -> Callable[[File], None]:
    """So many values and nulls in each column of the first batch."""

    def change(file: File) -> None:
        for node in file.vector(file.batch(0)[0], 1, 16):
            file.write(node, "<qq", values, nulls)

    return change


def buffers(offset: int, size: int) -> Callable[[File], None]:
    """Each buffer of the first batch there, and so large."""

    def change(file: File) -> None:
        for buffer in file.vector(file.batch(0)[0], 2, 16):
            file.write(buffer, "<qq", offset, size)

    return change


def inflated(size: int) -> Callable[[File], None]:
    """Each compressed buffer of the first batch said to be so large once it is not."""

    def change(file: File) -> None:
        batch, body = file.batch(0)
        for buffer in file.vector(batch, 2, 16):
            offset, there = file.read(buffer, "<qq")
            if there:
                file.write(body + offset, "<q", size)

    return change


def block(offset: int, head: int, body: int) -> Callable[[File], None]:
    """The first batch said to be there."""
    return lambda file: file.write(file.blocks()[0], "<qi4xq", offset, head, body)


def version(number: int) -> Callable[[File], None]:
    """The first batch's message of another version of the format."""

    def change(file: File) -> None:
        offset = int(file.read(file.blocks()[0], "<q")[0])
        message = offset + 8 + int(file.read(offset + 8, "<I")[0])
        file.write(file.field(message, 0), "<h", number)

    return change
