"""Results go to JSON and come back as they were."""

from __future__ import annotations

import json

import pytest

from lagbench.scoring import score
from lagbench.scoring.results import Results
from tests.scoring.synthetic import even, lags, row, scores


@pytest.fixture(scope="module")
def found() -> Results:
    """With a gap, a run that diverged, and an algorithm with one seed."""
    rows = lags({"a": {0: even(1.0), 8: even(0.5)}, "b": {0: even(0.6), 8: even(0.6)}, "c": {0: even(0.1, seeds=1)}})
    rows[0] = row("a", rows[0]["task"], 0, (0.0,), status="diverged")
    return score.score_grid(scores(rows[:-1]), replications=50)


def test_there_and_back(found: Results) -> None:
    assert Results.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_another_format_is_none_of_ours(found: Results) -> None:
    with pytest.raises(ValueError, match="another format"):
        Results.from_json({**found.to_json(), "format_version": 2})
