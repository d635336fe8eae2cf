"""What processes collect, put together, is what all actors would have collected side by side."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lagbench.actors.control import ControlActors
from lagbench.actors.language import LanguageActors
from lagbench.asynchronous.process import packed, part_of
from lagbench.policies.base import Version
from lagbench.rollout import COLLECTED
from lagbench.spec import RunSpec, resolve
from tests.tasks.gsm8k.tiny import make_data, make_model


def spec(task: str, processes: int) -> RunSpec:
    return resolve(
        task=task,
        execution="asynchronous",
        actor_processes=processes,
        actors=6,
        phase_steps=40,
        minibatch=60,
        budget=960,
        eval_episodes=1,
        seed=3,
    )


@pytest.mark.parametrize(
    ("task", "processes"), [("InvertedPendulum-v5", 1), ("InvertedPendulum-v5", 3), ("CartPole-v1", 2)]
)
def test_parts_put_together_are_the_whole_bit_for_bit(task: str, processes: int) -> None:
    run = spec(task, processes)
    whole, learner = ControlActors(run, 1), ControlActors(run, 1)
    policy = whole.make_policy()
    learner.make_policy()
    parts = [ControlActors(run, 1, part_of(run, i)) for i in range(processes)]
    ended = 0
    for phase in range(4):
        with torch.no_grad():
            next(policy.parameters()).add_(0.3)
        # Each process has its own version, as in a run.
        own = [Version(10 * phase + i, {k: x + i for k, x in policy.acting_state().items()}) for i in range(processes)]
        held = [own[i] for i in range(processes) for _ in part_of(run, i)]
        expected = whole.collect(held, phase)
        made = [p.act([v] * len(part_of(run, i)), phase) for i, (p, v) in enumerate(zip(parts, own, strict=True))]
        # As they come from other processes; one of these dies, and another goes on from there.
        sent = [pickle.loads(packed(one, part.state())) for one, part in zip(made, parts, strict=True)]
        parts[0] = ControlActors(run, 1, part_of(run, 0))
        parts[0].restore(sent[0][1])
        found = learner.gather([share for share, _ in sent], np.array([v.number for v in held]), phase)
        for name in COLLECTED:
            assert torch.equal(getattr(found.rollout, name), getattr(expected.rollout, name)), name
        assert found.transitions.columns.keys() == expected.transitions.columns.keys()
        for name, column in expected.transitions.columns.items():
            np.testing.assert_array_equal(found.transitions.columns[name], column, err_msg=name)
        np.testing.assert_array_equal(found.transitions.ends, expected.transitions.ends)
        np.testing.assert_array_equal(found.transitions.final_observation, expected.transitions.final_observation)
        assert [*map(dataclasses.astuple, found.episodes)] == [*map(dataclasses.astuple, expected.episodes)]
        assert (found.spent, learner.diagnostics()) == (expected.spent, whole.diagnostics())
        ended += len(expected.episodes)
    assert ended > 20


@pytest.mark.parametrize("processes", [1, 2])
def test_groups_of_several_processes_are_those_of_one(processes: int, tmp_path: Path) -> None:
    """Four actors, each with its own version and two of the eight groups."""
    task: Any = {"data": str(make_data(tmp_path / "data")), "model": str(make_model(tmp_path / "model"))}
    options: Any = {"task_options": {**task, "prompt": "plain", "max_new_tokens": 8, "group_size": 4}, "actors": 4}
    run = resolve(
        task="GSM8k-v0",
        execution="asynchronous",
        actor_processes=processes,
        minibatch=32,
        budget=128,
        eval_episodes=4,
        **options,
    )
    whole, learner = LanguageActors(run), LanguageActors(run)
    policy = whole.make_policy()
    parts = [LanguageActors(run, 1, part_of(run, i)) for i in range(processes)]
    size = len(part_of(run, 0))
    for phase in range(2):
        held = []
        for i in range(4):
            with torch.no_grad():
                next(policy.parameters()).mul_(1.01)
            held.append(policy.version(10 * phase + i))
        expected = whole.collect(held, phase)
        sent = [
            pickle.loads(packed(p.act(held[i * size : (i + 1) * size], phase), p.state())) for i, p in enumerate(parts)
        ]
        found = learner.gather([share for share, _ in sent], np.array([v.number for v in held]), phase)
        for name in (*COLLECTED, "group"):
            assert torch.equal(getattr(found.rollout, name), getattr(expected.rollout, name)), name
        assert found.transitions.columns.keys() == expected.transitions.columns.keys()
        for name, column in expected.transitions.columns.items():
            assert [*map(np.ndarray.tolist, map(np.asarray, column))] == [
                *map(np.ndarray.tolist, map(np.asarray, found.transitions.columns[name]))
            ], name
        assert [*map(dataclasses.astuple, found.episodes)] == [*map(dataclasses.astuple, expected.episodes)]
        assert found.spent == expected.spent == 32
        assert learner.diagnostics() == pytest.approx(whole.diagnostics())
        assert len({*expected.transitions.columns["actor"].tolist()}) == 4
