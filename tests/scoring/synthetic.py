"""Tables of runs that nobody ran, with returns that can be worked with by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

from lagbench.protocol import Protocol
from lagbench.scoring import grid
from lagbench.scoring.course import DIAGNOSTICS
from lagbench.scoring.normalize import Scale, Scores
from lagbench.scoring.table import SCHEMA, canonical, check

TASKS = ("HalfCheetah-v5", "Hopper-v5")
IDENTITY = Scale(0.0, 1.0)


def row(
    algorithm: str = "ppo",
    task: str = "Hopper-v5",
    seed: int = 0,
    returns: Sequence[float] = (0.0, 1.0),
    *,
    status: str = "completed",
    intervals: int = 1,
    config: Mapping[str, Any] | None = None,
    protocol: Mapping[str, Any] | None = None,
    former: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """A run's row. ``protocol`` changes the default one; so do lag and updates, which are columns too.

    The mean action earns half of what samples do; by a plan of version 0, ``former``, it is itself what is scored.
    """
    given: dict[str, Any] = {
        "lag": 0,
        "updates": None,
        "minibatch": 256,
        "actors": 32,
        "phase_steps": 64,
        **(protocol or {}),
    }
    for name in ("lag", "updates"):
        given[name] = changes.pop(name, given[name])
    resolved = Protocol.resolve(**given)
    fractions = [i / intervals for i in range(len(returns))]
    whole = status == "completed"
    return {
        "algorithm": algorithm,
        "algorithm_source": "0" * 64,
        "config": canonical(config or {}),
        "suite": None,
        "suite_sha256": None,
        "task": task,
        "task_options": "{}",
        "lag": resolved.lag,
        "updates": resolved.updates,
        "forward": resolved.forward,
        "protocol": canonical(resolved.to_json()),
        "budget": 300_000,
        "evaluation_episodes": 10 if former else 20,
        "evaluation_mode_episodes": None if former else 10,
        "evaluation_intervals": intervals,
        "seed": seed,
        "status": status,
        "fractions": fractions,
        "returns": list(returns),
        "errors": [0.25] * len(returns),
        "mode_returns": [] if former else [None if x is None else x / 2 for x in returns],
        "mode_errors": [] if former else [0.5] * len(returns),
        "final": returns[-1] if whole else None,
        "area": float(np.trapezoid(returns, fractions)) if whole else None,
        **{name: None for name in DIAGNOSTICS},
        "metrics": [],
        "course": None,
        "versions_sha256": None,
        "spec": "{}",
        "lagbench": ["0.1.0"],
        "envpool": ["1.2.5"],
        "environment": "[]",
        "content_hash": None if status in ("failed", "unfinished") else canonical({"returns": list(returns)}),
        "path": f"runs/{task}/{algorithm}/lag{resolved.lag}-u{resolved.updates}-seed{seed}",
        **changes,
    }


def table(rows: Iterable[Mapping[str, Any]]) -> Any:
    return check(pa.Table.from_pylist(list(rows), SCHEMA), "the table")


def lags(
    finals: Mapping[str, Mapping[int, Sequence[Sequence[float]]]], tasks: Sequence[str] = TASKS
) -> list[dict[str, Any]]:
    """Rows from algorithm → lag → task → final return by seed; every run begins at 0."""
    return [
        row(algorithm, task, seed, (0.0, final), lag=lag)
        for algorithm, by_lag in finals.items()
        for lag, by_task in by_lag.items()
        for task, by_seed in zip(tasks, by_task, strict=True)
        for seed, final in enumerate(by_seed)
    ]


def even(height: float, tasks: int = 2, seeds: int = 3) -> list[list[float]]:
    """The same final return everywhere, so that every aggregate is that, and its interval a point."""
    return [[height] * seeds for _ in range(tasks)]


def noisy(
    heights: Mapping[str, Mapping[int, float]], *, seeds: int, tasks: Sequence[str] = TASKS, sd: float = 0.05
) -> list[dict[str, Any]]:
    """Rows from algorithm → lag → mean final return, the same on every task."""
    rng = np.random.default_rng(0)
    return [
        row(algorithm, task, seed, (0.0, float(height + sd * rng.standard_normal())), lag=lag)
        for algorithm, by_lag in heights.items()
        for (lag, height), task, seed in product(by_lag.items(), tasks, range(seeds))
    ]


def scores(rows: Iterable[Mapping[str, Any]], scale: Scale | None = IDENTITY, by: Sequence[str] = ()) -> Scores:
    """Scored by one scale for all tasks: by default returns are scores."""
    found = grid.read(table(rows), by)
    return Scores(found, None if scale is None else dict.fromkeys(found.tasks, scale))
