"""A run to which nothing may happen that shows in its rows: small, killed or hindered in many ways, read plainly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.ipc

# An algorithm with state of its own, under lag, with an evaluation after most of the phases.
RUN = ("run", "--algo", "ppo-kl", "--lag", "3", "--task", "InvertedPendulum-v5", "--actors", "4", "--phase-steps", "16",
       "--minibatch", "32", "--updates", "4", "--budget", "768", "--eval-episodes", "2", "--threads", "1",
       "--out", "run", "-q")  # fmt: skip
RESUME = ("resume", "run", "--threads", "1", "-q")
TABLES = ("trajectories", "episodes", "evaluations", "phases")

Rows = dict[str, list[tuple[int, str]]]
"""Of each table, (phase, row)."""


def rows(run: Path, table: str) -> list[tuple[int, str]]:
    """(phase, row) of what pyarrow alone reads, of an unfinished run as docs/records.md says."""
    found: list[dict[str, Any]] = []
    if (run / "result.json").exists():
        with pyarrow.OSFile(str(run / table / "data.arrow")) as source:
            found = pyarrow.ipc.open_file(source).read_all().to_pylist()
    else:
        for shard in sorted((run / table).glob("*.arrows")):
            with pyarrow.OSFile(str(shard)) as source:
                try:
                    for batch in pyarrow.ipc.open_stream(source):
                        found += batch.to_pylist()
                except (pyarrow.ArrowInvalid, OSError):
                    pass  # torn
    # Wall time is no one's twice.
    found = [{name: x for name, x in row.items() if not name.startswith("seconds_")} for row in found]
    # The evaluation of version 0 belongs to the first phase.
    return [(row["phase"] if "phase" in row else max(row["version"] - 1, 0), repr(row)) for row in found]


def phases(run: Path, reference: Rows) -> int:
    """How many phases are there, whole; of the next one there may be all that comes before its row in ``phases``."""
    number = len(rows(run, "phases"))
    for table in TABLES:
        found = rows(run, table)
        assert found == reference[table][: len(found)], f"{table} is not how the run left alone begins"
        whole, more = (sum(phase < n for phase, _ in reference[table]) for n in (number, number + 1))
        assert len(found) in (whole, more)
    return number


def check_finished(run: Path, alone: Path, reference: Rows, starts: int | None = None) -> None:
    """Nothing tells it from the run left alone, but that it was started so many times."""
    assert {table: rows(run, table) for table in TABLES} == reference
    names = [{str(f.relative_to(path)) for f in path.rglob("*")} for path in (run, alone)]
    assert names[0] == names[1]
    for file in ("spec.json", "policy.safetensors", "result.json"):  # which holds the content hashes
        assert (run / file).read_bytes() == (alone / file).read_bytes()
    assert starts in (None, len(json.loads((run / "environment.json").read_text())))
