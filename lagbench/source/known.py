"""Find a source by its digest: among those already loaded, in a run's directory, or in its file."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator
from pathlib import Path

from lagbench.errors import UsageError
from lagbench.source.files import Source
from lagbench.source.imports import collect_copy

_SHOWN = 12
_sources: dict[str, Source] = {}
_copies: dict[str, Path] = {}


def remember(source: Source) -> Source:
    """Remember a source, so that ``find`` finds it by its digest in this process; returns it."""
    _sources[source.sha256] = source
    return source


def note_copy(sha256: str, directory: Path) -> None:
    """Make ``find`` search for the source with this digest in a run's directory with a copy."""
    if directory.is_dir():
        _copies[sha256] = directory


def find(name: str, sha256: str, file: Path, collect: Callable[[Path], Source]) -> Source:
    """The source that a specification names by a file and a digest.

    Args:
        name: its name, for messages.
        sha256: the digest.
        file: the original file.
        collect: collects the source from the file's current content.

    Raises:
        UsageError: no source with that digest is found.
    """
    if sha256 in _sources:
        return _sources[sha256]
    for source in _candidates(sha256, file, collect):
        if source.sha256 == sha256:
            return remember(source)
    copy = _copies.get(sha256)
    where = f"{copy} does not hold it" if copy else "there is no copy next to the specification"
    if not file.is_file():
        raise UsageError(
            f"the source of {name} (SHA-256 {sha256[:_SHOWN]}…) cannot be found: there is no file {str(file)!r}, and "
            f"{where}; give the spec.json in a run's directory, which contains the source"
        )
    raise UsageError(
        f"the source of {name} has changed since this run was specified (SHA-256 {sha256[:_SHOWN]}…, now "
        f"{collect(file).sha256[:_SHOWN]}…), and {where}; start a new run, or restore {file}"
    )


def find_file(what: str, sha256: str, name: str) -> Source:
    """A non-Python file ``name`` as a source: remembered, or a run's copy. Raises UsageError."""
    copy = _copies.get(sha256)
    if sha256 not in _sources and copy is not None and (copy / name).is_file():
        remember(Source(name, {name: (copy / name).read_bytes()}, {name: str(copy / name)}))
    if sha256 not in _sources:
        raise UsageError(
            f"the {what} with the SHA-256 {sha256[:_SHOWN]}… cannot be found, and there is no copy next to the "
            f"specification; give the spec.json in a run's directory, which contains a copy"
        )
    return _sources[sha256]


def _candidates(sha256: str, file: Path, collect: Callable[[Path], Source]) -> Iterator[Source]:
    if copy := _copies.get(sha256):
        yield from (collect_copy(main, copy) for main in sorted(copy.rglob(glob.escape(file.name))))
    if file.is_file():
        yield collect(file)
