"""spec.json, verified against the specification in the metadata of every table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lagbench.errors import RecordError, UsageError
from lagbench.records import streams, table_file
from lagbench.records.files import SPEC_FILE, TABLE_FILE
from lagbench.records.schema import TABLES, check_table, recorded_spec
from lagbench.spec import RunSpec, differences


def read_spec(path: Path) -> RunSpec:
    """The specification of the run in a directory.

    Raises RecordError if it cannot be read, UsageError if it is not the one that the run started with.
    """
    data = read_document(path)
    check_spec(path, data)
    try:
        spec = RunSpec.from_json(data)
    except (UsageError, TypeError, ValueError) as error:
        raise RecordError(f"{path / SPEC_FILE} cannot be read: {error}") from error
    spec.note_copies(path)
    return spec


def read_document(path: Path) -> Any:
    """The content of spec.json in a directory, not validated. Raises RecordError if it is not JSON."""
    file = path / SPEC_FILE
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecordError(f"{file} is not JSON ({error}); restore it from a copy of the run") from error


def check_spec(path: Path, data: Any) -> None:
    """Raise UsageError, with the difference, unless ``data`` is the specification in the run's tables."""
    recorded = _recorded(path)
    if recorded is not None and (changed := differences(data, recorded)):
        raise UsageError(
            f"{path / SPEC_FILE} is not the specification with which this run was started ({'; '.join(changed)}); "
            f"change it "
            "back, or start a new run"
        )


def _recorded(path: Path) -> Any:
    """The specification in the first readable table; None if there is none yet."""
    for table in reversed(TABLES):
        file, directory = path / table / TABLE_FILE, path / table
        try:
            schema = streams.schema(directory) or (table_file.schema(file, table) if file.is_file() else None)
            if schema is not None:
                check_table(schema, table, directory)
                return recorded_spec(schema)
        except RecordError:
            continue  # reported when that table is read
    return None
