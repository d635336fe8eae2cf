"""What processes collect, put together, is what all actors would have collected side by side."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from lagbench.actors.control import ControlActors
from lagbench.asynchronous.collector import merged
from lagbench.asynchronous.process import packed, part_of, unpacked
from lagbench.policies.base import Version
from lagbench.policies.gaussian import GaussianPolicy
from lagbench.rollout import COLLECTED
from lagbench.spec import RunSpec, resolve


def spec(processes: int) -> RunSpec:
    return resolve(
        task="InvertedPendulum-v5",
        execution="asynchronous",
        actor_processes=processes,
        actors=6,
        phase_steps=40,
        minibatch=60,
        budget=960,
        eval_episodes=1,
        seed=3,
    )


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_parts_put_together_are_the_whole_bit_for_bit(processes: int) -> None:
    run = spec(processes)
    whole, learner = ControlActors(run, 1), ControlActors(run, 1)
    policy = whole.make_policy()
    assert isinstance(policy, GaussianPolicy)
    learner.make_policy()
    parts = [ControlActors(run, 1, part_of(run, i)) for i in range(processes)]
    ended = 0
    for phase in range(4):
        with torch.no_grad():
            policy.log_std.add_(0.3)
        # Each process has its own version, as in a run.
        own = [Version(10 * phase + i, {k: x + i for k, x in policy.acting_state().items()}) for i in range(processes)]
        held = [own[i] for i in range(processes) for _ in part_of(run, i)]
        expected = whole.collect(held, phase)
        made = [p.act([v] * len(part_of(run, i)), phase) for i, (p, v) in enumerate(zip(parts, own, strict=True))]
        # As they come from other processes; one of these dies, and another goes on from there.
        sent = [unpacked(packed(one, part.state())) for one, part in zip(made, parts, strict=True)]
        parts[0] = ControlActors(run, 1, part_of(run, 0))
        parts[0].restore(sent[0][1])
        found = learner.scaled(merged([collection for collection, _ in sent]))
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
