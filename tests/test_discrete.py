"""Runs whose actions are discrete: recorded, replayed, resumed, evaluated and exported as those of vectors are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import minari
import numpy as np
import pyarrow as pa
import pytest

import lagbench
from lagbench import runner
from lagbench.records.export import export
from lagbench.records.reader import Run
from tests.ends import cut_off
from tests.records.forge import Columns, change_table, copied

SIZES: dict[str, Any] = {"actors": 4, "phase_steps": 32, "minibatch": 64, "updates": 4, "budget": 640}


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("cartpole") / "run"
    return lagbench.run(task="CartPole-v1", algo="vaco", lag=2, **SIZES, eval_episodes=2, eval_intervals=1, out=path)


def test_actions_are_whole_numbers_with_their_probabilities(cartpole: Run) -> None:
    table = cartpole.trajectories.to_table()
    assert table.schema.field("action").type == pa.int32()
    assert set(table["action"].to_pylist()) == {0, 1}
    assert cartpole.evaluations.schema.field("action").type.value_type == pa.int32()
    # The first policy is all but uniform: each action has half.
    first = table["behaviour_log_prob"].to_numpy()[table["behaviour_version"].to_numpy() == 0]
    np.testing.assert_allclose(first, np.log(0.5), atol=0.05)
    assert cartpole.summary["final"].keys() == {"stochastic", "mode"}


def test_it_replays_and_a_changed_action_is_found(cartpole: Run, tmp_path: Path) -> None:
    report = lagbench.replay(cartpole, training=True)
    assert report.passed
    assert {check.name: check.outcome for check in report.checks}["policy"] == "ok"
    assert report.action_difference == 0.0
    for action, found in ((1, "evaluation episodes"), (7, "Discrete(2)")):
        path = copied(cartpole.path, tmp_path / str(action))

        def change(columns: Columns, action: int = action) -> None:
            columns["action"][0][0] = 1 - columns["action"][0][0] if action == 1 else action

        change_table(path, "evaluations", change)
        failed = [check for check in lagbench.replay(lagbench.open(path)).checks if check.outcome == "failed"]
        assert any(found in (check.name, str(check.difference.expected)) for check in failed if check.difference)


def test_it_is_resumed_to_the_bit(cartpole: Run, tmp_path: Path) -> None:
    cut_off(cartpole.spec, tmp_path / "cut")
    again = runner.resume(tmp_path / "cut")
    assert again.content_hash() == cartpole.content_hash()


def test_its_policy_is_played_and_its_episodes_are_exported(cartpole: Run, tmp_path: Path) -> None:
    (episode,) = lagbench.evaluate(cartpole, [3], mode="mode")
    assert episode.action.dtype == np.int32  # type: ignore[attr-defined]
    assert episode.length == episode.episode_return
    done = export(cartpole, "minari", tmp_path)
    dataset = minari.MinariDataset(done.path / "data")
    assert dataset.action_space.n == 2
    assert next(iter(dataset.iterate_episodes())).actions.dtype.kind == "i"
