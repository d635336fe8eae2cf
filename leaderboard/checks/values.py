"""Numbers: none missing, none infinite, where a score or a figure takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from lagbench import records
from lagbench.leaderboard import layout, limits
from lagbench.leaderboard.checks import columns
from lagbench.leaderboard.findings import Problem

CHECK = "numbers"
UNDEFINED = ("explained_variance", "logprob_mismatch_max")
"""Measurements that are NaN wherever there is nothing to measure: without a critic, or without a row of that kind."""


def check(found: Mapping[str, Any], place: str, *, diverged: bool) -> Iterator[Problem]:
    """The rows with NaN or an infinite number, or without a measurement."""
    for table, values in found.items():
        file = f"{place}/{layout.FINAL if table == records.final.TABLE else layout.table(table)}"
        excused = len(values) - 1 if diverged and table == "phases" else None
        for field in values.schema:
            # An algorithm's own metrics may be what they are: nothing rests on them.
            if field.name in (*UNDEFINED, "metrics"):
                continue
            for row in columns.infinite_rows(values, field.name):
                if row != excused:
                    yield Problem(CHECK, file, row, f"{field.name} is not a finite number, or beyond {limits.NUMBER:g}")
            if pa.types.is_floating(field.type):
                for row in columns.null_rows(values, field.name):
                    if row != excused:
                        yield Problem(CHECK, file, row, f"{field.name} is missing")
