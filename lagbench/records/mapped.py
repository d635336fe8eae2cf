"""A memory-mapped file shared by Arrow, NumPy and torch."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import pyarrow as pa


def mapped(file: Path) -> Any:
    """The bytes of a file as a memory-mapped pyarrow buffer.

    Writes, for example through a tensor, stay in this process: the file never changes (copy on write).
    """
    with file.open("rb") as source:
        if not source.seek(0, 2):
            return pa.py_buffer(b"")
        return pa.py_buffer(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_COPY))
