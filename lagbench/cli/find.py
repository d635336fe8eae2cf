"""Find the run named by an argument."""

from __future__ import annotations

from pathlib import Path

from lagbench.errors import RecordError, UsageError
from lagbench.records.reader import find_run


def run_directory(text: str) -> Path:
    """The directory of a run: a path, one below runs/, or the last part of one. Raises UsageError."""
    try:
        return find_run(text)
    except RecordError as error:
        # Nothing is wrong with a record: there is none of that name.
        raise UsageError(str(error)) from None
