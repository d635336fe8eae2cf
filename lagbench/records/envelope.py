"""A file with an integrity check: one line with its checksum and some facts, then its content."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from lagbench.errors import RecordError

_LONGEST_HEAD = 1 << 16


def write(file: Path, content: bytes | memoryview, about: Mapping[str, Any]) -> None:
    """Write it whole or not at all, with the facts ``about`` it, which are JSON. Raises OSError."""
    head = json.dumps({"about": about, "size": len(content), "crc32": zlib.crc32(content)}).encode()
    temporary = file.with_suffix(".tmp")
    with temporary.open("wb") as out:
        out.write(b"%08x %b\n" % (zlib.crc32(head), head))
        out.write(content)
    os.replace(temporary, file)


def read(file: Path) -> bytes:
    """The content. Raises RecordError where it is not what was written, OSError where there is none."""
    with file.open("rb") as source:
        head = _head(file, source)
        content = source.read()
    if len(content) != head["size"] or zlib.crc32(content) != head["crc32"]:
        raise RecordError(f"{file} is damaged: its checksum does not match")
    return content


def about(file: Path) -> dict[str, Any]:
    """The facts alone; the content is not looked at. Raises as ``read``."""
    with file.open("rb") as source:
        return dict(_head(file, source)["about"])


def _head(file: Path, source: IO[bytes]) -> dict[str, Any]:
    checksum, _, line = source.readline(_LONGEST_HEAD).rstrip(b"\n").partition(b" ")
    if checksum != b"%08x" % zlib.crc32(line):
        raise RecordError(f"{file} is damaged: its first line's checksum does not match")
    return dict(json.loads(line))
