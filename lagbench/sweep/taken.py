"""Cells that are done according to a table of runs, without directories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lagbench.records.files import SCORED
from lagbench.sweep.cells import Planned, State


def taken(cells: Sequence[Planned], rows: Iterable[Mapping[str, Any]]) -> dict[Planned, State]:
    """Return the cells whose specification, including the source, is that of a finished run in a table of runs.

    Args:
        cells: the cells of a sweep.
        rows: rows of ``scoring.table``, as dictionaries: ``spec``, ``status``, ``returns``, ``errors``.

    Returns: the state of each such cell. Files are compared by content; their paths do not matter.
    """
    found = {identity(json.loads(row["spec"])): row for row in rows if row["status"] in SCORED}
    return {cell: _state(row) for cell in cells if (row := found.get(identity(cell.spec.to_json()))) is not None}


def _state(row: Mapping[str, Any]) -> State:
    if row["status"] == "diverged":
        return State("diverged", "diverged according to the table of results")
    return State("completed", score=row["returns"][-1], error=row["errors"][-1])


def identity(spec: Mapping[str, Any]) -> str:
    """Text that is equal for specs with equal evaluations: without recording options and paths of files."""
    algorithm = dict(spec["algorithm"])
    if "sha256" in algorithm:
        algorithm["name"] = algorithm["name"].rpartition(":")[2]
    rest = {name: value for name, value in spec.items() if name != "record"}
    return json.dumps({**rest, "algorithm": algorithm}, sort_keys=True)
