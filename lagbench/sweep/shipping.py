"""Transfer of changes in a run's directory between machines without a shared file system."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lagbench.records.files import CHECKPOINT_FILE, LOCK_FILE, RESULT_FILE, TEMPORARY, replacing
from lagbench.source.files import COPIES

# Append-only files, of which only the tail is sent. Other files are replaced as a whole.
_GROWING = (".arrows", ".sums")
# They describe the contents of other files, so they must arrive last.
_LAST = (CHECKPOINT_FILE, RESULT_FILE)


@dataclass(frozen=True)
class Change:
    """A change of a file: the first ``kept`` bytes stay, followed by ``data``; None: the file was deleted."""

    name: str
    kept: int
    data: bytes | None


class Shipper:
    """Computes the changes of a directory since the last call, with which a copy can be updated.

    To be called when the run's files are consistent: after a phase.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, os.stat_result] = {}

    def changes(self) -> list[Change]:
        """Return the changes, in an order such that any prefix leaves a run that can be resumed."""
        found = {name: stat for name, stat in _files(self._directory).items() if _is_shipped(name)}
        changed = [self._change(name, stat) for name, stat in found.items() if not self._is_known(name, stat)]
        gone = [Change(name, 0, None) for name in self._known if name not in found]
        self._known = found
        return [*sorted(changed, key=lambda change: _place(change.name)), *gone]

    def _is_known(self, name: str, stat: os.stat_result) -> bool:
        before = self._known.get(name)
        return before is not None and _version(before) == _version(stat)

    def _change(self, name: str, stat: os.stat_result) -> Change:
        before = self._known.get(name)
        grew = before is not None and before.st_ino == stat.st_ino and before.st_size <= stat.st_size
        kept = before.st_size if before is not None and grew and name.endswith(_GROWING) else 0
        with (self._directory / name).open("rb") as source:
            source.seek(kept)
            return Change(name, kept, source.read())


def pack(directory: Path) -> list[Change]:
    """Return all files of a directory, as changes to an empty one."""
    return Shipper(directory).changes()


def apply(directory: Path, changes: Sequence[Change]) -> None:
    """Apply changes to a directory. Raises OSError."""
    for change in changes:
        file = directory / change.name
        if change.data is None:
            file.unlink(missing_ok=True)
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        if change.kept:
            with file.open("r+b") as out:
                out.truncate(change.kept)
                out.seek(change.kept)
                out.write(change.data)
        else:
            with replacing(file) as out:
                out.write(change.data)
    for emptied in {(directory / change.name).parent for change in changes if change.data is None} - {directory}:
        if emptied.is_dir() and not any(emptied.iterdir()):
            emptied.rmdir()


def _files(directory: Path) -> dict[str, os.stat_result]:
    # Symbolic links are skipped: their targets may be anywhere.
    plain = (file for file in directory.rglob("*") if file.is_file() and not file.is_symlink())
    return {str(file.relative_to(directory)): file.stat() for file in plain}


def _place(name: str) -> int:
    """The sort key of a file: sources come before the specification that refers to them."""
    return _LAST.index(name) + 1 if name in _LAST else -name.startswith(tuple(f"{copy}/" for copy in COPIES))


def _is_shipped(name: str) -> bool:
    return name != LOCK_FILE and not name.endswith(TEMPORARY)


def _version(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
