"""What was measured in a submission's training, as few enough numbers for a chart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lagbench.leaderboard import limits
from lagbench.leaderboard.former import Submission, SubmittedRun

COLUMNS = ("tv", "ess", "kl")
"""Columns of ``phases`` that are shown: see docs/records.md."""
SHARE = "_fraction"
"""How the name of a metric ends that says which share of the samples an algorithm clips, filters, truncates, …"""
_BINS = 40


@dataclass(frozen=True)
class Trace:
    """A quantity on a task at a value of the suite's axis: means over seeds, at shares of the budget."""

    task: str
    value: int
    name: str
    fractions: tuple[float, ...]
    means: tuple[float, ...]


def of(submission: Submission, axis: str) -> tuple[Trace, ...]:
    """All traces of a submission, by task, value and name. The submission must be valid."""
    gathered: dict[tuple[str, int, str], list[dict[int, float]]] = {}
    for submitted in submission.runs():
        spec = submitted.run.spec
        for name, binned in _of_run(submitted).items():
            gathered.setdefault((spec.task, getattr(spec.protocol, axis), name), []).append(binned)
    return tuple(Trace(task, value, name, *_over_seeds(runs)) for (task, value, name), runs in sorted(gathered.items()))


def _of_run(submitted: SubmittedRun) -> dict[str, dict[int, float]]:
    """Name → bin of the budget → mean over its phases, of what is a number."""
    run = submitted.run
    phases = run.phases
    columns = [name for name in COLUMNS if name in phases.schema.names]
    rows = phases.to_table(columns=["budget_used", *columns, "metrics"]).to_pylist(maps_as_pydicts=None)
    gathered: dict[str, dict[int, list[float]]] = {}
    for row in rows:
        # A phase counts where it ends; the last one ends at the end.
        at = min(max(math.ceil(_BINS * row["budget_used"] / run.spec.budget) - 1, 0), _BINS - 1)
        for name, value in _measured(row, columns):
            if value is not None and abs(value) <= limits.NUMBER:
                gathered.setdefault(name, {}).setdefault(at, []).append(value)
    return {name: {at: math.fsum(own) / len(own) for at, own in bins.items()} for name, bins in gathered.items()}


def _measured(row: Mapping[str, Any], columns: Iterable[str]) -> Iterable[tuple[str, float | None]]:
    yield from ((name, row[name]) for name in columns)
    yield from ((name, value) for name, value in row["metrics"] or [] if name.endswith(SHARE))


def _over_seeds(runs: list[dict[int, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The middle of every bin that some run has a number in, and the mean over those runs."""
    bins = sorted(set().union(*runs))
    means = []
    for at in bins:
        own = [run[at] for run in runs if at in run]
        means.append(math.fsum(own) / len(own))
    return tuple((at + 0.5) / _BINS for at in bins), tuple(means)
