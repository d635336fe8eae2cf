"""Comparison of a new algorithm with the published runs of a suite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from lagbench import CellOutcome, LagbenchError, records, scoring
from lagbench.leaderboard import published

RUNS, TABLE = "runs", "table.arrow"
FORMAT_VERSION = 1
_NEW = " (new)"
_LISTED = 3


@dataclass(frozen=True)
class Compared:
    """The result of a comparison.

    Attributes:
        new: the label of the new algorithm.
        results: results of all algorithms, with comparisons of the new algorithm with each baseline only.
        verdicts: one per baseline.
    """

    new: str
    results: scoring.results.Results
    verdicts: tuple[scoring.verdict.Verdict, ...]

    @property
    def summary(self) -> str:
        """All verdicts in one line."""
        return scoring.verdict.summary(self.new, self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {
            "format_version": FORMAT_VERSION,
            "new": self.new,
            "summary": self.summary,
            "verdicts": [asdict(one) for one in self.verdicts],
            "results": self.results.to_json(),
        }


def compare(
    outcomes: Sequence[CellOutcome],
    baselines: Any,
    *,
    replications: int,
    suite: str | None = None,
    table: Path | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Compared:
    """Score the new runs together with the baselines, and give verdicts.

    Args:
        outcomes: outcomes of ``lagbench.run_grid`` for one algorithm on a suite.
        baselines: a table of runs of the same suite or family; see ``published``.
        replications: number of bootstrap replications.
        suite: the suite whose cells are scored; baselines of a family may have further cells.
        table: where to write the table of all runs, if anywhere.
        progress: called with the number of bootstraps done and in total.

    Raises LagbenchError if no run has a result, and the errors of scoring if runs cannot be compared.
    """
    name = outcomes[0].cell.spec.algorithm.name
    paths = [o.cell.path for o in outcomes if o.state.status in (*records.files.SCORED, "failed")]
    if not any(o.state.status in records.files.SCORED for o in outcomes):
        counts = Counter(o.state.status for o in outcomes)
        raise LagbenchError(
            f"no run of {name} has a result ({', '.join(f'{n} {status}' for status, n in sorted(counts.items()))}); "
            f"the first: {outcomes[0].cell.path}: {outcomes[0].state.reason}"
        )
    runs = scoring.table.collect(paths)
    label, notes = _label(name, runs, baselines)
    everything = scoring.table.concat([baselines, published.replace(runs, "algorithm", [label] * len(runs))])
    if table is not None:
        scoring.table.to_file(everything, table)
    found = scoring.score.score(everything, suite=suite, replications=replications, progress=progress)
    found = replace(scoring.verdict.of(found, label), notes=(*notes, *_failures(outcomes), *found.notes))
    return Compared(label, found, scoring.verdict.verdicts(found))


def _label(name: str, runs: Any, baselines: Any) -> tuple[str, list[str]]:
    """A label for the new algorithm that no baseline has, and a note if it shares its name with a baseline."""
    taken = published.algorithms(baselines)
    if name not in taken:
        return name, []
    label = name + _NEW
    while label in taken:
        label += _NEW
    theirs = baselines.filter(pc.equal(baselines["algorithm"], name))
    same, other = [], []
    for column, word, changed in (
        ("algorithm_source", "source", "another source"),
        ("config", "hyperparameters", "other hyperparameters"),
    ):
        here, there = (set(one[column].to_pylist()) for one in (runs, theirs))
        if here != there and None not in here | there:  # older runs do not record it
            other.append(changed)
        elif here == there != {None}:
            same.append(word)
    how = " and ".join(other) or f"the same {' and '.join(same)}"
    return label, [f"{name} is also a baseline: the new runs, with {how}, are labelled {label}"]


def _failures(outcomes: Sequence[CellOutcome]) -> list[str]:
    failed = [f"{o.state.status}: {o.cell.path}: {o.state.reason}" for o in outcomes if o.state.is_failure]
    more = [f"and {len(failed) - _LISTED} more runs without a result"] if len(failed) > _LISTED else []
    return [*failed[:_LISTED], *more]
