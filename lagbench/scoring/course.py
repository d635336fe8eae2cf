"""Diagnostics of a run: means over all phases, and means over blocks of phases."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lagbench.records.reader import Run

DIAGNOSTICS = (
    "updates_made",
    "backward_lag_mean",
    "tv",
    "tv_backward",
    "tv_forward",
    "kl",
    "ess",
    "entropy",
    "normalizer_drift",
)
"""Columns of a run's ``phases``; ``updates_made`` is the column ``updates``."""
BLOCKS = 50
COURSE = pa.struct([("budget_used", pa.list_(pa.int64())), *[(name, pa.list_(pa.float32())) for name in DIAGNOSTICS]])
"""One list per quantity, one element per block of phases: the budget used at its end, the mean of each diagnostic."""
Course = dict[str, list[Any]]


def measured(run: Run) -> tuple[dict[str, float | None], list[tuple[str, float]], Course]:
    """The mean over phases of each diagnostic and each metric, and the course of the diagnostics.

    Means are over measured finite values; without any, they are None, in the course NaN. The course divides all phases
    into at most 50 nearly equal blocks.
    """
    sources = {name: "updates" if name == "updates_made" else name for name in DIAGNOSTICS}
    # Diagnostics that a domain does not measure have no column.
    columns = {name: source for name, source in sources.items() if source in run.phases.schema.names}
    table = run.phases.to_table(columns=["budget_used", *columns.values(), "metrics"])
    found = {name: table.column(source).to_pylist() for name, source in columns.items()}
    metrics: dict[str, list[float]] = {}
    for row in table.column("metrics").to_pylist():
        for name, value in row or []:
            metrics.setdefault(name, []).append(value)
    means = {name: _mean(found.get(name, ())) for name in DIAGNOSTICS}
    named = {name: _mean(values) for name, values in sorted(metrics.items())}
    blocks = np.array_split(np.arange(len(table)), max(1, min(BLOCKS, len(table)))) if len(table) else []
    used = table.column("budget_used").to_pylist()
    course: Course = {"budget_used": [used[block[-1]] for block in blocks]}
    for name in DIAGNOSTICS:
        values = found.get(name)
        parts = [_mean([values[i] for i in block]) if values else None for block in blocks]
        course[name] = [math.nan if part is None else part for part in parts]
    return means, [(name, value) for name, value in named.items() if value is not None], course


def versions_sha256(run: Run) -> str | None:
    """SHA-256 of the concatenated ``version_sha256`` of all phases; None if an older run has none."""
    if "version_sha256" not in run.phases.schema.names:
        return None
    digests = run.phases.to_table(columns=["version_sha256"]).column("version_sha256").to_pylist()
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(known)) if known else None
