"""The trace of a run: which version each actor held in each of its phases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lagbench.errors import UsageError
from lagbench.lag import staleness
from lagbench.records.reader import find_run, open_run


def versions_of_run(text: str) -> NDArray[np.int64]:
    """The versions [phases, actors] of the finished run that ``text`` names.

    Raises UsageError where it is not finished, and as ``find_run`` and ``open_run``.
    """
    run = open_run(find_run(text))
    if run.result is None:
        raise UsageError(f"{run.path} is not finished; resume with: lagbench resume {run.path}")
    if staleness.mode(run.spec.protocol, run.spec.seed).in_flight:
        raise UsageError(
            f"the versions of {run.path} change inside completions, and a trace has one per phase and actor; give the "
            "run's own lag mode and seed"
        )
    rows = run.phases.to_table(columns=["versions"])["versions"].to_pylist()
    if not rows:
        raise UsageError(f"{run.path} has no phase")
    return np.array(rows, dtype=np.int64)
