"""Cells as commands: typed, they give the same spec in the same directory."""

import shlex
from pathlib import Path

import pytest

from lagbench.spec import RunSpec
from lagbench.sweep.cells import State
from lagbench.sweep.grid import plan
from lagbench.sweep.lines import command
from tests.cli.run_here import lagbench


@pytest.mark.parametrize(
    "options",
    [
        {
            "task": ["InvertedPendulum-v5"],
            "lag_mode": "queue:impala",
            "lag_options": {"capacity": "2"},
            **{"budget": 320, "actors": 4, "phase_steps": 16, "minibatch": 32, "eval_episodes": 1},
        },
        {"suite": "TESTING", "task": ["InvertedPendulum-v5"], "lag": [2], "seeds": [1], "config": {"clip": ["0.1"]}},
        {
            "task": ["InvertedPendulum-v5"],
            "lag": [3],
            "lag_mode": "fixed",
            "updates": [4],
            "budget": 320,
            "actors": 4,
            "phase_steps": 16,
            "minibatch": 32,
            "hidden": [8, 4],
            "eval_episodes": 1,
            "eval_intervals": 3,
            "config": {"clip": ["0.1"], "anneal": ["no"]},
            "task_options": {"max_episode_steps": "50"},
        },
    ],
)
def test_a_command_runs_the_cell(tmp_path: Path, options: dict[str, object]) -> None:
    (cell,) = plan(tmp_path / "my runs", algo=["ppo"], record="episodes", **options)  # type: ignore[arg-type]
    program, *arguments = shlex.split(command(cell, State("missing")))
    assert program == "lagbench"
    done = lagbench(*arguments, "-q")
    assert (done.code, done.out, done.err) == (0, f"{cell.path}\n", "")
    assert RunSpec.load(cell.path / "spec.json") == cell.spec


def test_what_was_cut_off_is_resumed(tmp_path: Path) -> None:
    (cell,) = plan(tmp_path / "my runs", algo=["ppo"])
    assert command(cell, State("unfinished")) == f"lagbench resume '{cell.path}'"
