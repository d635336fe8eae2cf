"""Results as flat records."""

from __future__ import annotations

import pytest

from lagbench.scoring import score
from lagbench.scoring.results import IntervalEstimate, Results
from tests.scoring.synthetic import even, lags, row, scores


@pytest.fixture(scope="module")
def found() -> Results:
    """With a gap, a run that diverged, and an algorithm with one seed."""
    rows = lags({"a": {0: even(1.0), 8: even(0.5)}, "b": {0: even(0.6), 8: even(0.6)}, "c": {0: even(0.1, seeds=1)}})
    rows[0] = row("a", rows[0]["task"], 0, (0.0,), status="diverged")
    return score.score_grid(scores(rows[:-1]), replications=50)


def test_records_are_flat(found: Results) -> None:
    records = list(found.records())
    assert {
        "label": "b", "lag": 8, "task": "Hopper-v5", "measure": "area", "quantity": "mean",
        "value": pytest.approx(0.3), "low": pytest.approx(0.3), "high": pytest.approx(0.3),
    } in records  # fmt: skip
    beside = {"label": "b", "lag": 8, "task": "Hopper-v5", "measure": "final", "quantity": "mode_return"}
    assert {**beside, "value": pytest.approx(0.3), "standard_error": pytest.approx(0)} in records
    assert {"label", "against", "lag", "measure", "quantity", "value", "low", "high"} in map(set, records)
    assert all(not isinstance(x, dict | list | tuple) for record in records for x in record.values())
    quantities = {record["quantity"] for record in records}
    assert quantities == {
        "lag_score", "tolerance", "retention", "iqm", "median", "mean", "optimality_gap", "lag_score_difference",
        "iqm_difference", "improvement", "p_value", "return", "mode_return",
    }  # fmt: skip


def test_where_an_interval_lies() -> None:
    assert IntervalEstimate(1, 0.5, 2).above_zero
    assert IntervalEstimate(-1, -2, -0.5).below_zero
    for x in (IntervalEstimate(1, -0.5, 2), IntervalEstimate(1, None, None)):
        assert not x.above_zero
        assert not x.below_zero
