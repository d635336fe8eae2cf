"""Small cells, and runs of them that several tests look at."""

import multiprocessing
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from lagbench.runner import execute
from lagbench.sweep import processes
from lagbench.sweep.cells import Planned
from lagbench.sweep.grid import plan

SMALL: dict[str, Any] = {
    "task": ["InvertedPendulum-v5"],
    "actors": 4,
    "phase_steps": 16,
    "minibatch": 32,
    "budget": 320,
    "eval_episodes": 1,
    "record": "episodes",
}
"""Five phases, in some tenths of a second."""


def small(out: Path, *, algo: str = "ppo", **options: Any) -> list[Planned]:
    return plan(out, algo=[algo], **{**SMALL, **options})


def fork_workers() -> None:
    """In a sweep's process: fork its workers from itself, which has loaded everything, for the sake of time."""
    mock.patch.object(processes, "_CONTEXT", multiprocessing.get_context("fork")).start()
    mock.patch.object(forkserver, "ensure_running").start()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """A cell that is completed. Read it; do not change it."""
    (cell,) = small(tmp_path_factory.mktemp("finished"))
    execute(cell.spec, cell.path, threads=1)
    return cell
