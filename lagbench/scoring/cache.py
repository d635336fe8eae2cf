"""Results of before, found again by the content of all that they follow from. Imports nothing heavy.

An entry's name is a SHA-256 over the parameters, every byte of every file that scoring reads, the source of lagbench
and the versions of what computes; so it is never out of date, and there is nothing to clear.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from lagbench.records.checksums import is_whole, sealed
from lagbench.records.files import RESULT_FILE, SPEC_FILE, TABLE_FILE
from lagbench.scoring.kept import Kept
from lagbench.scoring.results import Results

VARIABLE = "LAGBENCH_CACHE"
KEPT = 50
_FILES = (
    SPEC_FILE,
    RESULT_FILE,
    "environment.json",
    *(f"{table}/{TABLE_FILE}" for table in ("evaluations", "phases")),
)
_PACKAGES = ("arch", "numpy", "pyarrow", "rliable", "scipy")
_SOURCES = {".py", ".toml", ".json"}


K = TypeVar("K", bound=Kept)


def directory() -> Path:
    """Where they are kept: ``$LAGBENCH_CACHE``, or lagbench/scores in the user's cache directory."""
    if own := os.environ.get(VARIABLE):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lagbench" / "scores"


def key(runs: Sequence[Path], tables: Sequence[Path], parameters: Mapping[str, Any]) -> str:
    """The name of the results of these runs and tables under these parameters. Raises OSError."""
    total = hashlib.sha256()
    total.update(json.dumps([_source(), _versions(), dict(parameters)], sort_keys=True).encode())
    for run in runs:
        for name in _FILES:
            _add(total, run / name)
    for table in tables:
        _add(total, table)
    return total.hexdigest()


def load(name: str) -> Results | None:
    """The results of that name; None where there are none, or none that are whole."""
    return load_as(Results, name)


def load_as(kind: type[K], name: str) -> K | None:
    """What was kept under that name; None where there is nothing, or nothing of that kind that is whole."""
    file = directory() / f"{name}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        data = json.loads(file.read_text(encoding="utf-8"))
        if is_whole(data):
            file.touch()
            return kind.from_json(data)
    return None


def save(name: str, results: Kept) -> None:
    """Keep results under that name, where that can be done, and only the newest ``KEPT`` of all."""
    place = directory()
    # It is for speed alone: a disk that is full or not ours is no reason to fail.
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(suffix=".tmp", dir=place)
        with open(descriptor, "w", encoding="utf-8") as out:
            # As it will be read, lists for tuples: the checksum is of that.
            json.dump(sealed(json.loads(json.dumps(results.to_json()))), out)
        os.replace(temporary, place / f"{name}.json")
        entries = sorted(place.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in entries[KEPT:]:
            old.unlink(missing_ok=True)


def _add(total: Any, file: Path) -> None:
    """Name and content, or that there is no such file."""
    digest = None
    with contextlib.suppress(FileNotFoundError), file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    total.update(json.dumps([str(file), digest]).encode())


@functools.cache
def _source() -> str:
    """Of lagbench, suites and references among it."""
    root = Path(__file__).parents[1]
    total = hashlib.sha256()
    for file in sorted(root.rglob("*")):
        if file.suffix in _SOURCES:
            _add(total, file)
    return total.hexdigest()


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found
