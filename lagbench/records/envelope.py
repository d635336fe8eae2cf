"""Files with a header line (checksum and metadata) before their content, so that damage is detected."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from lagbench.errors import RecordError

_LONGEST_HEAD = 1 << 16
_PIECE = 1 << 20


@contextmanager
def writing(file: Path, about: Mapping[str, Any]) -> Iterator[IO[bytes]]:
    """Write a file's content incrementally, with the JSON metadata ``about`` it, atomically. Raises OSError."""
    temporary = file.with_suffix(".tmp")
    with temporary.open("wb") as out:
        # Reserved for the header, which is written last; long enough for the largest content.
        room = len(_line(about, 1 << 63, 1 << 32))
        out.write(b" " * room)
        content = _Summed(out)
        try:
            yield cast(IO[bytes], content)
        except Exception:
            if content.failed is None:
                raise
            raise content.failed from None  # torch's own error hides that of the disk, or an interrupt
        out.seek(0)
        out.write(_line(about, content.size, content.crc32, room))
    os.replace(temporary, file)


@contextmanager
def reading(file: Path) -> Iterator[IO[bytes]]:
    """Open the content as a file. Raises RecordError if it is damaged, OSError if it cannot be opened."""
    with file.open("rb", buffering=0) as source:
        head, first = _head(file, source)
        size = crc32 = 0
        while piece := source.read(_PIECE):
            size, crc32 = size + len(piece), zlib.crc32(piece, crc32)
        if size != head["size"] or crc32 != head["crc32"]:
            raise RecordError(f"{file} is damaged: its checksum does not match")
        yield io.BufferedReader(_From(source, first))


def about(file: Path) -> dict[str, Any]:
    """The metadata; the content is not read. Raises as ``reading``."""
    with file.open("rb", buffering=0) as source:
        return dict(_head(file, source)[0]["about"])


class _Summed(io.RawIOBase):
    """Writes sequentially to a file, and computes size and checksum."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.size = 0
        self.crc32 = 0
        self.failed: BaseException | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            piece = memoryview(data).cast("B")
            self._out.write(piece)
            self.size += len(piece)
            self.crc32 = zlib.crc32(piece, self.crc32)
            return len(piece)
        except BaseException as error:  # interrupts too: torch raises another error once its writer has failed
            self.failed = error
            raise


class _From(io.RawIOBase):
    """A view of a file from an offset on."""

    def __init__(self, source: IO[bytes], first: int) -> None:
        self._source, self._first = source, first
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found: int = self._source.readinto(buffer)  # type: ignore[attr-defined]
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._source.seek(offset + (self._first if whence == io.SEEK_SET else 0), whence) - self._first


def _line(about: Mapping[str, Any], size: int, crc32: int, length: int = 0) -> bytes:
    """The header line, padded with spaces to ``length``."""
    head = json.dumps({"about": about, "size": size, "crc32": crc32}).encode().ljust(length - len("01234567 \n"))
    return b"%08x %b\n" % (zlib.crc32(head), head)


def _head(file: Path, source: IO[bytes]) -> tuple[dict[str, Any], int]:
    """The header and the offset of the content, to which ``source`` is moved."""
    start = source.read(_LONGEST_HEAD)
    first = start.find(b"\n") + 1
    checksum, _, line = start[: first - 1].partition(b" ") if first else (b"", b"", b"")
    if checksum != b"%08x" % zlib.crc32(line):
        raise RecordError(f"{file} is damaged: its first line's checksum does not match")
    source.seek(first)
    return dict(json.loads(line)), first
