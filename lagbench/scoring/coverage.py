"""Measured coverage of the 95% intervals for the sizes of suites, and its measurement."""

from __future__ import annotations

import numpy as np

from lagbench.scoring import aggregate, bootstrap

MEASURED = {
    **{(2, 1): 0.51, (3, 1): 0.74, (5, 1): 0.83, (10, 1): 0.90, (20, 1): 0.92},
    **{(2, 2): 0.66, (3, 2): 0.85},
    **{(3, 3): 0.83, (5, 3): 0.90, (10, 3): 0.935, (20, 3): 0.95},
    **{(10, 4): 0.93, (10, 5): 0.93},
}
"""(seeds, tasks) → share of intervals that contain the true value; see docs/scores.md."""
_CHUNK = 500


def note(seeds: int, tasks: int) -> str:
    """The note under every table: coverage at that size, or at the nearest smaller measured one, and with more seeds.

    ``tasks`` is 1 for numbers by task.
    """
    if seeds < 2:
        return "With one run on a task there is no interval."
    alike = [(n, m) for n, m in MEASURED if (m == 1) == (tasks == 1) and n <= seeds]
    size = (seeds, tasks) if (seeds, tasks) in MEASURED else max(alike)
    nearest = "" if size == (seeds, tasks) else f", the nearest to {_size(seeds, tasks)}"
    row = {n: share for (n, m), share in sorted(MEASURED.items()) if m == (1 if tasks == 1 else 3)}
    return (
        f"Measured coverage of the 95% intervals: {_share(MEASURED[size])} with {_size(*size)}{nearest}; on "
        f"{'one task' if tasks == 1 else 'three tasks'} {'/'.join(map(_share, row.values()))} with "
        f"{'/'.join(map(str, row))} seeds."
    )


def _share(x: float) -> str:
    return f"{x:.3f}".removesuffix("0")


def _size(seeds: int, tasks: int) -> str:
    return f"{seeds} seed{'s' * (seeds != 1)} on {tasks} task{'s' * (tasks != 1)}"


def measure(seeds: int, tasks: int, *, apart: float = 2.5, draws: int = 4000, replications: int = 2000) -> float:
    """The share of ``draws`` of scores [seeds, tasks] whose interval of IQM (of one task: the mean) contains the truth.

    Scores are normal, with the tasks' means spread evenly over ``apart`` standard deviations. By symmetry the true
    value is their centre. With equal means, coverage is 0.01 to 0.02 higher.
    """
    rng = np.random.default_rng(0)
    means = np.linspace(-apart / 2, apart / 2, tasks)[:, None] if tasks > 1 else np.zeros((1, 1))
    held = 0
    statistic = aggregate.iqm if tasks > 1 else aggregate.task_means
    for start in range(0, draws, _CHUNK):
        scores = means + rng.standard_normal((seeds, tasks, min(_CHUNK, draws - start)))
        found = bootstrap.intervals([scores], lambda drawn: {"": statistic(drawn)}, replications)[""]
        held += int(((found.low <= 0) & (found.high >= 0)).sum())
    return held / draws
