"""Tabulate runs of an untrusted source, verified by a process that never loads that source."""

from __future__ import annotations

import sys
from pathlib import Path

from lagbench import LagbenchError, Run, records, replay, scoring
from lagbench import open as open_run


def collect(runs: Path, out: Path) -> None:
    """Write the table of all runs in a directory, after replaying each of them bit for bit (``lagbench.replay``).

    Replay proves that the task answers the recorded actions with the recorded rewards, that the actions of the last
    evaluation are the policy's, and that questions are from the test set. Raises LagbenchError if a check fails.
    """
    found = scoring.table.collect([runs])
    for path in found["path"].to_pylist():
        if fault := _fault(open_run(path)):
            raise LagbenchError(f"{Path(path).relative_to(runs)}: {fault}")
    scoring.table.to_file(found, out)


def _fault(run: Run) -> str | None:
    for check in replay(run).checks:
        if check.outcome == "failed":
            return f"{check.name}: {check.message}"
    kind, task = records.kind.kind_of(run.spec), run.spec.load_task()
    for episode in run.evaluation_episodes():
        for difference in kind.wrong_start(episode, task):
            return str(difference)
    return None


if __name__ == "__main__":
    try:
        collect(Path(sys.argv[1]), Path(sys.argv[2]))
    except LagbenchError as error:
        sys.exit(str(error))
