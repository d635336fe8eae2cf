"""Real runs of the suite TESTING that several tests look at, and references that somebody made up."""

from pathlib import Path

import pytest

from lagbench import plan_grid
from lagbench.runner import execute
from lagbench.suites import references
from lagbench.suites.references import Reference, References, TaskReferences


@pytest.fixture(scope="session")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of the runs of PPO. Read it; do not change it."""
    out = tmp_path_factory.mktemp("baseline") / "TESTING"
    for cell in plan_grid(out, algo=["ppo"], suite="TESTING", record="episodes"):
        execute(cell.spec, cell.path, threads=1)
    return out


@pytest.fixture
def referenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A return of 0 scores 0, one of 100 scores 1."""
    at = TaskReferences(Reference(0.0, 0.01, (0,)), Reference(100.0, 0.01, (100, 101)))
    monkeypatch.setattr(references, "load", lambda suite: References(dict.fromkeys(suite.tasks, at)))
