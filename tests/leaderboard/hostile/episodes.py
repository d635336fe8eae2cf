"""Attacks that nothing but a replay finds: each is of valid files, on the last run of SMALL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch

from lagbench import records
from lagbench.tasks.mujoco import ControlTask
from lagbench.tasks.spec import load_task
from tests.leaderboard import small
from tests.leaderboard.hostile.attack import Change
from tests.leaderboard.hostile.rows import Edit, both, in_turn, put, resum
from tests.records.forge import Columns, change_policy

EPISODES, POLICY = "evaluation episodes", records.replay.POLICY
RUN = small.RUNS[1]
LONGEST = 1000


def _both(change: Edit) -> Change:
    """Episodes changed, returns that follow, and evaluations, hashes and summary that agree."""
    return both(in_turn(change, resum), RUN)


def _richer(columns: Columns) -> None:
    columns["reward"] = [[reward + 1.0 for reward in rewards] for rewards in columns["reward"]]


def _moved(columns: Columns) -> None:
    """The same rewards in another order."""
    columns["reward"][0].reverse()


def _endless(columns: Columns) -> None:
    """An episode that went on to the last step, though it ended in truth."""
    for name in ("action", "reward"):
        steps = columns[name][0]
        columns[name][0] = (steps * LONGEST)[:LONGEST]
    columns["length"][0], columns["terminated"][0], columns["truncated"][0] = LONGEST, False, True


def _open_loop(columns: Columns) -> None:
    """Real rewards of real episodes, whose actions no policy chose."""
    task = load_task("Hopper-v5")
    assert isinstance(task, ControlTask)
    rng = np.random.default_rng(0)
    for row, seed in enumerate(columns["seed"]):
        env = task.make([seed], 1)
        env.reset()
        actions: list[list[float]] = []
        rewards: list[float] = []
        terminated = truncated = np.array([False])
        while not (terminated[0] or truncated[0]):
            action = rng.uniform(-1, 1, (1, 3)).astype(np.float32)
            _, reward, terminated, truncated, _ = env.step(action)
            actions.append(action[0].tolist())
            rewards.append(float(reward[0]))
        env.close()
        columns["action"][row], columns["reward"][row], columns["length"][row] = actions, rewards, len(rewards)
        columns["terminated"][row], columns["truncated"][row] = bool(terminated[0]), bool(truncated[0])


def _swapped(path: Path) -> None:
    """The policy of the run without lag in the place of that with lag."""
    change_policy(path / RUN, (path / small.RUNS[0] / "policy.safetensors").read_bytes())


def _weights(path: Path) -> None:
    """A policy that is a little different from the one that played."""
    state: dict[str, Any] = safetensors.torch.load((path / RUN / "policy.safetensors").read_bytes())
    state["actor.0.weight"] *= 1.05
    change_policy(path / RUN, safetensors.torch.save(state))


ATTACKS: dict[str, tuple[frozenset[str], Change]] = {
    "every reward higher": (frozenset({EPISODES}), _both(_richer)),
    "rewards in another order": (frozenset({EPISODES}), _both(_moved)),
    "an action of another sign": (
        frozenset({EPISODES, POLICY}),
        _both(lambda c: put("action", 0, -c["action"][0][2][1], 2, 1)(c)),
    ),
    "an action beyond its range": (frozenset({EPISODES, POLICY}), _both(put("action", 0, 50.0, 2, 1))),
    "an episode that went on": (frozenset({EPISODES, POLICY}), _both(_endless)),
    "actions that no policy chose": (frozenset({POLICY}), _both(_open_loop)),
    "the policy of another lag": (frozenset({POLICY}), _swapped),
    "a policy that is not the one that played": (frozenset({POLICY}), _weights),
}
"""Name → the checks of a verification that must fail, and no others, and the attack."""
