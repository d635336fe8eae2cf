"""Boards of the suite TESTING that nobody trained, and one site of them for all tests that look at it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lagbench import load_suite
from lagbench.leaderboard import board, methods, published, validate
from lagbench.leaderboard.board import Board
from lagbench.leaderboard.site import build
from lagbench.suites import references
from lagbench.suites.references import Reference, References, TaskReferences
from tests.leaderboard import made

LONG = "Wörter" * 10
BASELINES = {"ppo": 70.0, "vaco": 90.0, "ppo-kl": 60.0, "geppo": 50.0}


@pytest.fixture(scope="session")
def boards(tmp_path_factory: pytest.TempPathFactory) -> list[Board]:
    """One with something of every kind on it, and one on which nothing is.

    ``mine`` claims too much and has no lag; ``other`` is another name of it; ``claimed`` nobody trained; ``long`` has
    endless words, and one of its runs diverged.
    """
    root = tmp_path_factory.mktemp("made")
    mine = {"mine.py": made.CODE, "helper.py": "def helper(x):\n    return x\n"}
    first = made.submit(
        root, "mine", made.runs(110.0, seed=11), source=mine, authors=("Ada Lovelace", "Karen Spärck Jones")
    )
    made.train(first, made.runs(80.0, seed=12, tv_backward=1e-7))
    other = made.submit(
        root, "other", made.runs(80.0, seed=13), source={**mine, "mine.py": made.CODE.replace("Mine", "Other")}
    )
    made.train(other, made.runs(80.0, seed=14), date="2026-02-01", sandbox=None)
    made.submit(root, "claimed", made.runs(1e99, seed=15), authors=("Grace Hopper",))
    long = made.submit(
        root,
        "long-" + "x" * 59,
        made.runs(75.0, seed=16),
        name=LONG,
        authors=(LONG,) * 9,
        url=f"https://example.org/{'path' * 60}",
        license="A" * 60,
        tuning="\n\n".join([LONG * 3] * 5),
        source={"long.py": f"# {LONG * 9}\n" * 50},
        config={LONG: LONG, "x": 1},
    )
    made.train(long, made.runs(75.0, seed=17))
    with pytest.MonkeyPatch.context() as patch:
        # Numbers that validation refuses.
        patch.setattr(validate, "validate", lambda path: validate.Validation(path, "", ()))
        at = TaskReferences(Reference(0.0, 0.01, (0,)), Reference(100.0, 0.01, (100, 101)))
        patch.setattr(references, "load", lambda suite: References(dict.fromkeys(suite.tasks, at)))
        rows = {name: made.runs(height, seed=i) for i, (name, height) in enumerate(BASELINES.items())}
        patch.setattr(published, "DIRECTORY", made.publish(root, rows))
        return [
            board.board(suite, methods.find(suite, root / "submissions"), replications=50)
            for suite in map(load_suite, ("TESTING", "mujoco-mini-v1"))
        ]


@pytest.fixture(scope="session")
def site(boards: list[Board], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of these boards. Read it; do not change it."""
    out = tmp_path_factory.mktemp("site") / "site"
    build.build(boards, out)
    return out
