"""Observations become the states that they were made of, for every task that is filmed."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from lagbench import registry
from lagbench.tasks.mujoco import EnvPoolTask
from lagbench.tasks.spec import load_task
from lagbench.video.bodies import BODIES
from lagbench.video.motion import Motion
from tests.tasks.gymnasiums import gymnasiums

TASK_IDS = [i for i in registry.task_ids() if registry.task_entry(i).entry == "lagbench.tasks.mujoco:task"]
# Both cut speeds off at 10 a second, for which what is drawn of a step that comes after is a little off.
UNCUT = {"velocity_min": -1e6, "velocity_max": 1e6}
TRAVELLERS = [i for i in TASK_IDS if BODIES[i.rpartition("-")[0]].travels]


@pytest.fixture(autouse=True)
def _log_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # MuJoCo writes its warnings into a file where it is run.
    monkeypatch.chdir(tmp_path)


def cuts_speed(task_id: str) -> bool:
    return task_id.startswith(("Hopper", "Walker2d"))


@pytest.mark.parametrize("task_id", TASK_IDS)
def test_joints_follow_from_observations(task_id: str) -> None:
    env = gymnasiums(task_id)
    body = BODIES[task_id.rpartition("-")[0]]
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(3):
        observation = env.step(env.action_space.sample())[0]
        positions, velocities = body.joints(env.model, observation, env.data.qpos[: body.travels])
        np.testing.assert_allclose(positions, env.data.qpos, atol=1e-12)
        # Of what no joint of the robot moves, the speed is in no observation, and in no picture.
        shown = {"Pusher": 7, "Reacher": 2}.get(task_id.rpartition("-")[0])
        wanted = env.data.qvel if not cuts_speed(task_id) else np.clip(env.data.qvel, -10, 10)
        np.testing.assert_allclose(velocities[:shown], wanted[:shown], atol=1e-12)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("task_id", TRAVELLERS)
def test_bodies_go_where_they_went(task_id: str, whole: bool) -> None:
    """Against EnvPool with the positions in the observation, over steps that take it across the floor's pattern."""
    options = UNCUT if cuts_speed(task_id) else {}
    task = load_task(task_id, options)
    teller = load_task(task_id, {**options, "exclude_current_positions_from_observation": False})
    assert isinstance(task, EnvPoolTask)
    assert isinstance(teller, EnvPoolTask)
    env, told = task.make([1]), teller.make([1])
    recorded, path = [env.reset()[0][0]], [told.reset()[0][0]]
    action = np.random.default_rng(0).uniform(-1, 1, (200, 1, *task.action_space.shape)).astype(np.float32)
    # The same for a while, so that it gets somewhere.
    action = np.repeat(action[:20], 10, axis=0) * task.action_space.high
    for a in action:
        recorded.append(env.step(a)[0][0])
        observation, _, terminated, *_ = told.step(a)
        path.append(observation[0])
        if terminated[0]:
            break
    steps = len(path) - 1
    body = BODIES[task_id.rpartition("-")[0]]
    model = gymnasiums(task_id).model
    motion = Motion(model, body, whole, gymnasiums(task_id).frame_skip)
    pattern = motion.floor_pattern()[: body.travels]
    start = 0.0 if whole else path[0][: body.travels]
    for t in motion.steps(np.array((path if whole else recorded)[:steps]), action[:steps, 0]):
        np.testing.assert_allclose(motion.data.qpos[body.travels :], path[t][body.travels : model.nq], atol=1e-9)
        off = (motion.data.qpos[: body.travels] - (path[t][: body.travels] - start)) / pattern
        np.testing.assert_allclose(off, np.round(off), atol=1e-6)
        assert (np.abs(motion.data.qpos[: body.travels]) < pattern + 1).all()
    assert t == steps


def test_some_go_across_the_pattern() -> None:
    """So that the test before this is one."""
    assert len(TRAVELLERS) == 14
    motion = Motion(gymnasiums("Hopper-v5").model, BODIES["Hopper"], False, 4)
    assert motion.floor_pattern() == pytest.approx([2 / 3, 2 / 3])
    observation = np.zeros((400, 11))
    observation[:, 0], observation[:, 5] = 1.25, 1.0
    places = [motion.data.qpos[0] for _ in motion.steps(observation, np.zeros((400, 3)))]
    assert sum(after < before for before, after in itertools.pairwise(places)) >= 3
    assert max(places) < 2 / 3 + 0.01
