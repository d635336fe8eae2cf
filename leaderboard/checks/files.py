"""What lies in the directory: plain files with the names of a submission's, within the limits."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from lagbench.leaderboard import layout, limits, manifest
from lagbench.leaderboard.findings import Problem
from lagbench.leaderboard.text import shown

CHECK = "files"
_LARGEST = {manifest.FILE: limits.MANIFEST_BYTES, manifest.SOURCE: limits.SOURCE_BYTES}


def listed(root: Path) -> tuple[dict[str, int] | None, list[Problem]]:
    """The files that are there and may be read, bytes by path as from the directory; and what is wrong with others.

    None in place of the files where they are too many, or too large together.
    """
    listing = _Listing()
    listing.walk(root, "")
    total = sum(listing.files.values())
    if listing.entries > limits.FILES:
        listing.problem(".", f"it has more than {limits.FILES:,} files and directories")
    elif total > limits.TOTAL_BYTES:
        listing.problem(".", f"it is {total:,} bytes, and {limits.TOTAL_BYTES:,} are allowed")
    else:
        return listing.files, listing.problems
    return None, listing.problems


class _Listing:
    """A walk through a directory, which follows no link and gives up beyond the limit."""

    def __init__(self) -> None:
        self.files: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.entries = 0

    def problem(self, path: str, message: str) -> None:
        self.problems.append(_problem(shown(path), message))

    def walk(self, directory: Path, prefix: str) -> None:
        with os.scandir(directory) as entries:
            for entry in entries:
                self.entries += 1
                if self.entries > limits.FILES:
                    return
                self._take(entry, f"{prefix}{entry.name}")

    def _take(self, entry: os.DirEntry[str], path: str) -> None:
        kind = entry.stat(follow_symlinks=False)
        if len(path) > limits.PATH_LENGTH:
            self.problem(path, f"its path is longer than {limits.PATH_LENGTH} characters")
        elif stat.S_ISLNK(kind.st_mode):
            self.problem(path, "it is a symbolic link; put the file itself there")
        elif stat.S_ISDIR(kind.st_mode):
            self.walk(Path(entry.path), f"{path}/")
        elif not stat.S_ISREG(kind.st_mode):
            self.problem(path, "it is neither a file nor a directory")
        elif kind.st_size > (largest := _largest(path)):
            self.problem(path, f"it is {kind.st_size:,} bytes, and {largest:,} are allowed")
        else:
            self.files[path] = kind.st_size


def _largest(path: str) -> int:
    return _LARGEST.get(path, limits.JSON_BYTES if path.endswith(".json") else limits.FILE_BYTES)


def root(path: Path) -> Iterator[Problem]:
    """What is wrong with the directory itself."""
    if path.is_symlink():
        yield _problem(".", "it is a symbolic link; give the directory itself")
    elif not path.is_dir():
        yield _problem(".", "there is no such directory")
    elif not manifest.SLUG.fullmatch(path.resolve().name):
        yield _problem(".", f"its name must be of a-z, 0-9 and -, 64 at most, not {shown(path.resolve().name)!r}")


def names(there: Iterable[str], places: Mapping[str, layout.Place]) -> Iterator[Problem]:
    """The files that no submission has."""
    known = {manifest.FILE, manifest.SOURCE}
    known |= {f"{place}/{file}" for place in places for file in layout.possible()}
    for path in sorted(set(there) - known):
        yield _problem(shown(path), "it is no file of a submission; take it out")


def of_run(there: Iterable[str], place: str, wanted: Iterable[str]) -> Iterator[Problem]:
    """The files that a run lacks, and those that it should not have."""
    own = {path.removeprefix(f"{place}/") for path in there if path.startswith(f"{place}/")} & layout.possible()
    for file in sorted(set(wanted) - own):
        yield _problem(f"{place}/{file}", "it is missing")
    for file in sorted(own - set(wanted)):
        yield _problem(f"{place}/{file}", "a run of this specification and status has no such file; take it out")


def _problem(file: str, message: str) -> Problem:
    return Problem(CHECK, file, None, message)
