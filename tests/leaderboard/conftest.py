"""Real runs of the suite TESTING that several tests look at, and references that somebody made up."""

from pathlib import Path

import pytest

from lagbench import plan_grid
from lagbench.leaderboard.former import Statement, Submission
from lagbench.leaderboard.submit import Words, choose, submit
from lagbench.leaderboard.verification import Verification
from lagbench.leaderboard.verify import verify
from lagbench.runner import execute
from lagbench.suites import references
from lagbench.suites.references import Reference, References, TaskReferences
from tests.leaderboard.submitted import lay_out


@pytest.fixture(scope="session")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of the runs of PPO. Read it; do not change it."""
    out = tmp_path_factory.mktemp("baseline") / "TESTING"
    for cell in plan_grid(out, algo=["ppo"], suite="TESTING", record="episodes"):
        execute(cell.spec, cell.path, threads=1)
    return out


@pytest.fixture(scope="session")
def laid_out(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Submission:
    """Two of the runs, Hopper with seed 0, as a submission. Read it; do not change it."""
    runs = sorted((baseline / "Hopper-v5").glob("*/*-seed0"))
    return lay_out(runs, tmp_path_factory.mktemp("submitted") / "submissions" / "TESTING" / "mine")


@pytest.fixture(scope="session")
def verified(laid_out: Submission) -> Verification:
    """The report on it."""
    return verify(laid_out, episodes=4, nonce="5a" * 32)


@pytest.fixture(scope="session")
def whole(baseline: Path, tmp_path_factory: pytest.TempPathFactory) -> Submission:
    """All of the runs, as submit makes a submission of them. Read it; do not change it."""
    words = Words("PPO", ("Somebody",), "https://example.org/ppo", "Apache-2.0", Statement("none", "none"))
    out = tmp_path_factory.mktemp("whole") / "submissions" / "TESTING" / "ppo"
    out.parent.mkdir(parents=True)
    return submit(choose([baseline]), words, out)


@pytest.fixture
def referenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A return of 0 scores 0, one of 100 scores 1."""
    at = TaskReferences(Reference(0.0, 0.01, (0,)), Reference(100.0, 0.01, (100, 101)))
    monkeypatch.setattr(references, "load", lambda suite: References(dict.fromkeys(suite.tasks, at)))
