"""What was measured in training, as a table: every quantity of every line, under its name."""

from __future__ import annotations

from typing import Any

from lagbench.scoring import coverage, details, measured, score
from lagbench.scoring.results import Results
from lagbench.scoring.sheets import Sheet
from tests.scoring import synthetic

LOGGED = {"ppo": "clipped_fraction", "vaco": "filtered_fraction"}


def both(**changes: Any) -> tuple[Results, details.Details]:
    rows = [
        synthetic.row(
            algorithm,
            task,
            seed,
            (0.0, 1.0),
            lag=lag,
            **{"tv": 0.02 * lag, "kl": 0.0012345, "metrics": [(LOGGED[algorithm], 0.01 * seed)], **changes},
        )
        for algorithm in LOGGED
        for lag in (0, 4)
        for task in synthetic.TASKS
        for seed in range(3)
    ]
    found = synthetic.scores(rows)
    return score.score_grid(found, replications=30), details.details(found, replications=30)


def sheet(**changes: Any) -> Sheet | None:
    return measured.sheet(*both(**changes))


def test_a_column_a_quantity() -> None:
    found = sheet()
    assert found is not None
    assert found.columns == (
        "algorithm",
        "lag",
        "TV after the updates",
        "KL after the updates",
        "clipped, filtered, truncated",
    )
    assert [row[:4] for row in found.rows] == [
        ("ppo", "0", "0 [0, 0]", "0.00123 [0.00123, 0.00123]"),
        ("ppo", "4", "0.08 [0.08, 0.08]", "0.00123 [0.00123, 0.00123]"),
        ("vaco", "0", "0 [0, 0]", "0.00123 [0.00123, 0.00123]"),
        ("vaco", "4", "0.08 [0.08, 0.08]", "0.00123 [0.00123, 0.00123]"),
    ]
    assert all(row[4].startswith("0.01 [") for row in found.rows)
    assert found.notes == (
        "Shares of samples, as logged by each algorithm: ppo: clipped_fraction, vaco: filtered_fraction.",
        coverage.note(3, 2),
    )


def test_what_one_line_lacks_is_a_gap() -> None:
    results, more = both()
    first, second = more.lines
    bare = details.LineDetails(
        second.label, tuple(details.PointDetails(p.value, (), (), (), {}) for p in second.points)
    )
    found = measured.sheet(
        results, details.Details(more.budget, more.unit, more.fractions, more.thresholds, (first, bare))
    )
    assert found is not None
    assert found.rows[3] == ("vaco", "4", "–", "–", "–")
    assert found.notes[0].endswith("ppo: clipped_fraction.")


def test_nothing_measured_is_no_table() -> None:
    assert sheet(tv=None, kl=None, metrics=[]) is None
