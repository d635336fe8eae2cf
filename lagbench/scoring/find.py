"""Find runs in and below directories. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from lagbench.errors import UsageError
from lagbench.records.files import SPEC_FILE


def find_runs(paths: Sequence[Path]) -> list[Path]:
    """The directories of all runs in and below some directories.

    Args:
        paths: directories.

    Returns:
        Each run's directory once, sorted.

    Raises:
        UsageError: a directory does not exist, or contains no run.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.is_dir():
            raise UsageError(f"there is no directory {str(path)!r}; give directories that contain runs")
        here = list(_runs_below(path))
        if not here:
            raise UsageError(f"no runs found in {str(path)!r}: none of its directories contains a {SPEC_FILE}")
        for run in here:
            found.setdefault(run.resolve(), run)
    return sorted(found.values())


def _runs_below(path: Path) -> Iterator[Path]:
    for directory, below, files in os.walk(path):
        if SPEC_FILE in files:
            below.clear()
            yield Path(directory)
