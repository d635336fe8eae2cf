"""Results and details go to JSON and come back as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lagbench.scoring import score
from lagbench.scoring.details import details
from lagbench.scoring.kept import Kept
from tests.scoring.synthetic import even, lags, row, scores


@pytest.fixture(scope="module", params=["results", "details"])
def found(request: pytest.FixtureRequest) -> Any:
    """With a gap, a run that diverged, and an algorithm with one seed."""
    rows = lags({"a": {0: even(1.0), 8: even(0.5)}, "b": {0: even(0.6), 8: even(0.6)}, "c": {0: even(0.1, seeds=1)}})
    rows[0] = row("a", rows[0]["task"], 0, (0.0,), status="diverged")
    given = scores(rows[:-1])
    if request.param == "results":
        return score.score_grid(given, replications=50)
    return details(given, replications=50)


def test_there_and_back(found: Kept) -> None:
    assert type(found).from_json(json.loads(json.dumps(found.to_json()))) == found


def test_another_format_is_none_of_ours(found: Kept) -> None:
    with pytest.raises(ValueError, match="another format"):
        type(found).from_json({**found.to_json(), "format_version": 2})
