"""Safe listing of directories written by untrusted programs and pull requests."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_DEPTH = 16
_AS_ANOTHER = stat.S_ISUID | stat.S_ISGID


def entries(directory: Path, depth: int = 0) -> Iterator[tuple[Path, int | None]]:
    """Yield everything below a directory with its size in bytes: None for directories, -1 for other than regular files.

    The size is -1 also for set-user-ID files, and for directories that cannot be read or are nested too deeply.
    """
    try:
        found = list(os.scandir(directory))
    except FileNotFoundError:
        return
    except OSError:
        yield directory, -1
        return
    for entry in found:
        with contextlib.suppress(FileNotFoundError):
            path, at = Path(entry.path), entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(at.st_mode) and depth < _DEPTH:
                yield path, None
                yield from entries(path, depth + 1)
            else:
                yield path, at.st_size if stat.S_ISREG(at.st_mode) and not at.st_mode & _AS_ANOTHER else -1
