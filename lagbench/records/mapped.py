"""A memory-mapped file shared by Arrow, NumPy and torch."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import pyarrow as pa


def mapped(file: Path) -> Any:
    """The bytes of a file as a pyarrow buffer: read when they are touched, and let go of when memory is short.

    What somebody writes into them, as through a tensor, stays in this process: the file is never changed.
    """
    with file.open("rb") as source:
        if not source.seek(0, 2):
            return pa.py_buffer(b"")
        return pa.py_buffer(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_COPY))
