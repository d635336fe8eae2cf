from __future__ import annotations

import re
from pathlib import Path

import pytest

from lagbench import LagbenchError, scoring
from lagbench.leaderboard import reruns
from lagbench.leaderboard.reruns import Beacon, Record, Rerun

RECORD = Record(
    format_version=1,
    submission="5a" * 32,
    beacon=Beacon(value="b" * 64, name="drand, round 5"),
    seeds=(2**40, 2**50),
    of=2,
    sandbox="bubblewrap 0.8.0",
    lagbench="0.1.0",
    date="2026-01-02",
)
TABLE = scoring.table.check(scoring.table.SCHEMA.empty_table(), "the runs")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.arrow"
    reruns.write(Rerun(RECORD, TABLE), file)
    found = reruns.read(file)
    assert found.record == RECORD
    assert found.table.equals(TABLE)
    assert found.record.is_whole


def test_a_table_of_other_runs_is_no_rerun(tmp_path: Path) -> None:
    file = tmp_path / "mine.arrow"
    scoring.table.to_file(TABLE, file)
    with pytest.raises(LagbenchError, match=re.escape("is not a rerun of a submission")):
        reruns.read(file)
