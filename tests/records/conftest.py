"""Real runs, made once, to be copied and attacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lagbench import runner
from lagbench.spec import RunSpec, resolve
from tests.ends import Stop, interrupt

PHASES = 8


def make_spec(**changes: Any) -> RunSpec:
    options: dict[str, Any] = {
        "task": "Hopper-v5",
        "task_options": {"max_episode_steps": 60},
        "algo": "ppo",
        "lag": 2,
        "actors": 8,
        "phase_steps": 32,
        "minibatch": 64,
        "updates": 4,
        "budget": PHASES * 8 * 32,
        "eval_episodes": 2,
        "eval_intervals": 4,
    }
    return resolve(**{**options, **changes})


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A completed run. Not to be changed."""
    path = tmp_path_factory.mktemp("real") / "finished"
    runner.execute(make_spec(), path, threads=1)
    return path


@pytest.fixture(scope="session")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, interrupted after 3 phases and again after 5. Not to be changed."""
    path = tmp_path_factory.mktemp("real") / "unfinished"
    interrupt(make_spec(), path, 3)
    with pytest.raises(runner.Interrupted):
        runner.resume(path, threads=1, sinks=[Stop(2)])
    return path
