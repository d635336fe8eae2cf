"""What strangers' programs and pull requests leave in a directory."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_DEPTH = 16


def entries(directory: Path, depth: int = 0) -> Iterator[tuple[Path, int]]:
    """All that lies below a directory but plain directories, and its bytes; -1 for what is not a regular file.

    Nor are directories plain that lie in too many others.
    """
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as found:
        for entry in found:
            with contextlib.suppress(FileNotFoundError):
                if entry.is_dir(follow_symlinks=False) and depth < _DEPTH:
                    yield from entries(Path(entry.path), depth + 1)
                else:
                    at = entry.stat(follow_symlinks=False)
                    yield Path(entry.path), at.st_size if stat.S_ISREG(at.st_mode) else -1
