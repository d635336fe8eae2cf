"""The reward scale against a hand loop over one actor at a time."""

import copy
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lagbench.actors.reward_scale import CLIP, GAMMA, RewardScale

N = 3
Phase = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def phases(lengths: list[int], seed: int = 0) -> list[Phase]:
    """Consecutive phases of reward, done and valid: the row after a done is not valid, over phases too."""
    rng = np.random.default_rng(seed)
    ended = np.zeros(N, bool)
    made = []
    for length in lengths:
        reward = (3 * rng.standard_normal((length, N)) + 1).astype(np.float32)
        done, valid = np.zeros((length, N), bool), np.zeros((length, N), bool)
        for t in range(length):
            valid[t] = ~ended
            done[t] = valid[t] & (rng.random(N) < 0.2)
            ended = done[t]
        made.append((np.where(valid, reward, np.float32(99)), done, valid))
    return made


def factors(made: list[Phase]) -> list[float]:
    """1/√(variance + 1e-8) of every discounted return so far, after each phase: one actor, one row at a time."""
    running, seen, out = [0.0] * N, [], []
    for reward, done, valid in made:
        for t in range(len(reward)):
            for i in range(N):
                if not valid[t, i]:
                    continue
                running[i] = GAMMA * running[i] + float(reward[t, i])
                seen.append(running[i])
                if done[t, i]:
                    running[i] = 0.0
        out.append(1 / math.sqrt(np.var(seen) + 1e-8))
    return out


def test_rewards_are_multiplied_clipped_and_left_in_float32() -> None:
    scale = RewardScale(N)
    scale.update(*phases([40])[0])
    reward = np.array([[0.0, 1.0, -2.0], [1e6, -1e6, 3.0]], np.float32)
    scaled = scale(reward)
    assert scaled.dtype == np.float32
    assert scaled.tolist() == np.clip(reward * np.float32(scale.factor), -CLIP, CLIP).tolist()
    assert scaled[1].tolist()[:2] == [CLIP, -CLIP]
    assert CLIP == 10


def test_before_anything_was_seen_rewards_stay_as_they_are() -> None:
    assert RewardScale(N).factor == pytest.approx(1.0, abs=1e-7)


def test_a_warm_up_leaves_its_statistics_and_no_episode() -> None:
    warm_up, first = phases([25, 12])
    first[2][0] = True  # a new pool: every actor begins an episode
    # Of as many actors as it likes.
    wide = [np.concatenate([x, x[:, :2]], axis=1) for x in warm_up]
    scale = RewardScale(N)
    scale.start(*wide)
    scale.update(*first)
    seen: list[float] = []
    for reward, done, valid in (wide, first):
        running = [0.0] * reward.shape[1]
        for t in range(len(reward)):
            for i in np.flatnonzero(valid[t]):
                running[i] = GAMMA * running[i] + float(reward[t, i])
                seen.append(running[i])
                running[i] *= not done[t, i]
    assert scale.factor == pytest.approx(1 / math.sqrt(np.var(seen) + 1e-8), rel=1e-12)


def test_a_saved_scale_goes_on_to_the_same_bits() -> None:
    made = phases([16, 5, 9, 30], seed=1)
    straight, resumed = RewardScale(N), RewardScale(N)
    for phase in made[:2]:
        straight.update(*phase)
    state = copy.deepcopy(straight.state())  # as saved: the live one goes on
    resumed.restore(state)
    for phase in made[2:]:
        straight.update(*phase)
        resumed.update(*phase)
        assert resumed.factor == straight.factor
    again = RewardScale(N)  # the saved state did not go on with either
    again.restore(state)
    assert again.factor == pytest.approx(factors(made)[1], rel=1e-12)
