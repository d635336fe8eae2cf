"""A method of somebody's on all of the suite TESTING, and references that somebody made up."""

from pathlib import Path

import pytest

from lagbench import load_suite, plan_grid
from lagbench.leaderboard.submission import Statement, Submission
from lagbench.leaderboard.submit import Chosen, Metadata, submit
from lagbench.runner import execute
from lagbench.suites import references
from lagbench.suites.references import Reference, References, TaskReferences

METHOD = """\
import threading

from helpers import scale

from lagbench import Algorithm


class Mine(Algorithm):
    lock = threading.Lock()  # which cannot be pickled: nothing is

    class Config(Algorithm.Config):
        size: float = 1.0

    def loss(self, batch):
        new = self.policy.evaluate(batch)
        ratio = (new.log_prob - batch.behaviour_log_prob).exp().clamp(max=2.0)
        return scale(-batch.objective(ratio * batch.advantage), self.config.size) + self.auxiliary_loss(new, batch), {}
"""
HELPERS = "def scale(loss, size):\n    return size * loss\n"


@pytest.fixture(scope="session")
def method(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a class ``Mine``, which imports another beside it."""
    directory = tmp_path_factory.mktemp("method")
    (directory / "mine.py").write_text(METHOD)
    (directory / "helpers.py").write_text(HELPERS)
    return directory / "mine.py"


@pytest.fixture(scope="session")
def baseline(method: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of its runs. Read it; do not change it."""
    out = tmp_path_factory.mktemp("baseline") / "TESTING"
    cells = plan_grid(out, algo=f"{method}:Mine", suite="TESTING", config={"size": 0.5}, record="episodes")
    for cell in cells:
        execute(cell.spec, cell.path, threads=1)
    return out


@pytest.fixture(scope="session")
def ppo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of runs of PPO, a baseline. Read it; do not change it."""
    out = tmp_path_factory.mktemp("ppo") / "TESTING"
    for cell in plan_grid(out, algo=["ppo"], suite="TESTING", record="episodes"):
        execute(cell.spec, cell.path, threads=1)
    return out


@pytest.fixture(scope="session")
def submitted(method: Path, tmp_path_factory: pytest.TempPathFactory) -> Submission:
    """A submission of it, with results that nobody had. Read it; do not change it."""
    suite = load_suite("TESTING")
    cells = [
        {
            "task": cell.task,
            "lag": cell.protocol.lag,
            "updates": cell.protocol.updates,
            "seed": cell.seed,
            "status": "completed",
            "fractions": [0.0, 0.5, 1.0],
            **{name: [1.0, 2.0, 3.0] for name in ("returns", "errors", "mode_returns", "mode_errors")},
            "envpool": ["1.2.5"],
            "lagbench": ["0.1.0"],
        }
        for cell in suite.cells()
    ]
    spec = suite.resolve(algo=f"{method}:Mine", task="Hopper-v5", lag=0, config={"size": 0.5})
    out = tmp_path_factory.mktemp("submitted") / "submissions" / "TESTING" / "mine"
    out.parent.mkdir(parents=True)
    return submit(Chosen(suite, spec, tuple(cells)), METADATA, out)


METADATA = Metadata(
    "Mine", ("A. Body",), "https://example.org/mine", "MIT", Statement(tuning="None.", discarded="None.")
)


@pytest.fixture
def referenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A return of 0 scores 0, one of 100 scores 1."""
    at = TaskReferences(Reference(0.0, 0.01, (0,)), Reference(100.0, 0.01, (100, 101)))
    monkeypatch.setattr(references, "load", lambda suite: References(dict.fromkeys(suite.tasks, at)))
