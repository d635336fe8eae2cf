"""Rows of runs of a suite that nobody ran."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lagbench import load_suite
from lagbench.scoring.table import canonical
from lagbench.suites import Suite
from lagbench.tasks.spec import load_task
from tests.scoring import synthetic


def cut_short(row: Mapping[str, Any], evaluations: int = 1) -> dict[str, Any]:
    """The same run, had it diverged after so many evaluations."""
    kept = {name: row[name][:evaluations] for name in ("fractions", "returns", "errors", "mode_returns", "mode_errors")}
    return {**row, **kept, "status": "diverged", "final": None, "area": None}


def suite_rows(
    heights: Mapping[str, float], sd: float = 0.1, suite: Suite | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Rows from algorithm → mean final return, over a whole suite; returns rise evenly."""
    suite = suite or load_suite("TESTING")
    rng = np.random.default_rng(seed)
    intervals = suite.evaluation.intervals
    return [
        {
            **synthetic.row(
                algorithm,
                cell.task,
                cell.seed,
                (np.linspace(0, 1, intervals + 1) * (height + sd * rng.standard_normal())).tolist(),
                intervals=intervals,
                lag=cell.protocol.lag,
                updates=cell.protocol.updates,
                former=suite.evaluation.measure == "mode",
            ),
            "suite": suite.runs.name,
            "suite_sha256": suite.runs.sha256,
            "protocol": canonical(cell.protocol.to_json()),
            "budget": suite.budget,
            "evaluation_episodes": suite.evaluation.episodes,
            "evaluation_mode_episodes": suite.evaluation.mode_episodes,
            "task_options": canonical(dict(load_task(cell.task, suite.data.get("task_options")).options)),
        }
        for algorithm, height in heights.items()
        for cell in suite.cells()
    ]
