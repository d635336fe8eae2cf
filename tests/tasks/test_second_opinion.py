"""EnvPool's tasks against Gymnasium's own MuJoCo environments, which share no code with them.

EnvPool does not show its state. It is read from the observations of a recorder: the same pool with options that leave
nothing out of the observation. A second pool, with the task's defaults, the same seeds and the same actions, gives what
Gymnasium's environment is then compared with.

Two comparisons for every task:

- from recorded states: Gymnasium's environment is set to a state and makes two steps, and what the second returns is
  compared. Two, because the first step leaves behind what a state does not hold and a reward may use: MuJoCo's body
  positions, which lag the joint positions by one substep.
- from the start: Gymnasium's environment is set to a first state and takes a whole episode's actions. Nothing is
  hidden there, since MuJoCo's solver starts cold in both.

Not comparable, and why:

- Pusher, from recorded states: the velocity of the object is in no observation, so only states with the object at rest
  count. The comparison from the start covers the others.
- Pusher-v4: Gymnasium refuses to make it with MuJoCo 3, for which its model was not meant. EnvPool makes it with MuJoCo
  3.6, so it is compared with Gymnasium's code under MuJoCo 3: what agrees is not the task of old papers.
- Humanoid-v4 and HumanoidStandup-v4: EnvPool leaves their contact forces at zero, Gymnasium does not. They are compared
  with EnvPool's ``post_constraint=True``, and a test says what that option changes.
- The draws of resets: the generators differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from lagbench import registry
from lagbench.tasks.mujoco import EnvPoolTask
from lagbench.tasks.spec import load_task
from lagbench.video.bodies import BODIES
from tests.tasks.gymnasiums import gymnasiums

mujoco = pytest.importorskip("mujoco")

MUJOCO = tuple(int(x) for x in mujoco.__version__.split(".")[:2])
# EnvPool carries 3.6; 3.7 was found to step all these tasks alike.
SAME_PHYSICS = MUJOCO in {(3, 6), (3, 7)}
N, STEPS = 4, 60
Vector = NDArray[np.float64]
TASK_IDS = [i for i in registry.task_ids() if registry.task_entry(i).domain == "control"]


@dataclass(frozen=True)
class Family:
    """How a family of tasks is read and compared.

    ``recorder`` are options that make the whole state part of the observation.
    The tolerances are relative to 1 + |value|. ``observation`` and ``reward`` hold with EnvPool's physics: rounding for
    most (EnvPool's reward is a float32, 6e-8 of itself), more where a solver stops before it has converged and so
    remembers where it started. ``elsewhere`` holds with another MuJoCo, for 95% of the observations and every reward.
    """

    recorder: Mapping[str, Any] = field(default_factory=dict)
    observation: float = 1e-9
    reward: float = 1e-6
    elsewhere: float = 1e-8


WHOLE = {"exclude_current_positions_from_observation": False}
UNCLIPPED = {"velocity_min": -1e6, "velocity_max": 1e6}
FAMILIES = {
    # A free body: in MuJoCo 4.0 it turns a little differently, 1e-6 a step, and a contact makes that 1e-3. Contact
    # forces are then off by any amount in a step that just makes or misses a contact, hence 95%.
    "Ant": Family(WHOLE, elsewhere=2e-2),
    "HalfCheetah": Family(WHOLE),
    "Hopper": Family(WHOLE | UNCLIPPED),
    # Free bodies too, and their model stops the solver after 50 rounds of projected Gauss-Seidel: contact forces, and
    # with them accelerations, depend on the force that it began with, which no observation holds.
    "Humanoid": Family(WHOLE, observation=2e-3, reward=1e-5, elsewhere=2e-2),
    "HumanoidStandup": Family(WHOLE, observation=2e-3, reward=1e-5, elsewhere=2e-2),
    "InvertedDoublePendulum": Family({"observation_min": -1e6, "observation_max": 1e6}),
    "InvertedPendulum": Family(),
    "Pusher": Family(),
    "Reacher": Family(),
    "Swimmer": Family(WHOLE),
    "Walker2d": Family(WHOLE | UNCLIPPED),
}
# Held from the start of these seeds, this brings the arm against the object.
PUSH = np.array([1.4, 1.3, -1.5, 1.5, 0.1, 1.0, -0.9], np.float32)
every_task = pytest.mark.parametrize("task_id", TASK_IDS)


@pytest.fixture(autouse=True)
def _log_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # MuJoCo writes its warnings into a file where it is run.
    monkeypatch.chdir(tmp_path)


def name_of(task_id: str) -> str:
    return task_id.rpartition("-")[0]


def options_of(task_id: str) -> dict[str, Any]:
    return {"post_constraint": True} if task_id in {"Humanoid-v4", "HumanoidStandup-v4"} else {}


def control_task(task_id: str, options: Mapping[str, Any] | None = None) -> EnvPoolTask:
    task = load_task(task_id, options)
    assert isinstance(task, EnvPoolTask)
    return task


@dataclass(frozen=True)
class Recording:
    """The recorder's observations [STEPS + 1, N, …] and what the task itself took and returned, time first."""

    whole: Vector
    observation: Vector
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    elapsed: NDArray[np.int32]

    def episodes(self) -> list[tuple[int, int]]:
        """Pairs (environment, first row), one an episode; row t is the observation before action t."""
        return [(i, t) for i in range(N) for t in range(STEPS) if self.elapsed[t][i] == 0]

    def last(self, i: int, start: int) -> int:
        """The last row of the episode that begins there."""
        t = start
        while t < STEPS and self.elapsed[t + 1][i] == self.elapsed[t][i] + 1:
            t += 1
        return t


@cache
def record(task_id: str) -> Recording:
    family = FAMILIES[name_of(task_id)]
    options = options_of(task_id)
    task = control_task(task_id, options)
    env, recorder = task.make(range(N)), control_task(task_id, {**options, **family.recorder}).make(range(N))
    whole, observation = [recorder.reset()[0]], [env.reset()[0]]
    # The pendulums fall within a few steps of full force.
    scale = 0.3 if "Pendulum" in task_id else 1.0
    shape = (STEPS, N, *task.action_space.shape)
    action = np.random.default_rng(0).uniform(-scale, scale, shape).astype(np.float32) * task.action_space.high
    if name_of(task_id) == "Pusher":
        action[:, :2] = PUSH
    rewards, ends, elapsed = [], [], [np.zeros(N, np.int32)]
    for a in action:
        o, reward, terminated, _, info = env.step(a)
        w, its_reward, its_terminated, _, _ = recorder.step(a)
        assert reward.tobytes() == its_reward.tobytes()
        assert terminated.tobytes() == its_terminated.tobytes()
        whole.append(w)
        observation.append(o)
        rewards.append(reward)
        ends.append(terminated)
        elapsed.append(info["elapsed_step"])
    return Recording(
        np.array(whole), np.array(observation), action, np.array(rewards), np.array(ends), np.array(elapsed)
    )


def set_to(env: Any, task_id: str, whole: Vector) -> None:
    # As after Gymnasium's own reset: the solver's memory of other states is gone.
    mujoco.mj_resetData(env.model, env.data)
    env.set_state(*BODIES[name_of(task_id)].joints(env.model, whole, np.zeros(0)))


def off(ours: Any, theirs: Any) -> float:
    """The largest difference, relative to 1 + |value|."""
    return float(np.max(np.abs(ours - theirs) / (1 + np.abs(theirs))))


@every_task
def test_spaces_and_time_limit_are_the_same(task_id: str) -> None:
    task, env = control_task(task_id), gymnasiums(task_id)
    assert task.observation_space == env.observation_space
    assert task.action_space == env.action_space
    assert task.max_episode_steps == gymnasium.spec(task_id).max_episode_steps


@every_task
def test_first_observations_follow_from_the_state(task_id: str) -> None:
    recording, env = record(task_id), gymnasiums(task_id)
    for i, t in recording.episodes():
        set_to(env, task_id, recording.whole[t][i])
        assert off(recording.observation[t][i], env._get_obs()) < 1e-9


@every_task
def test_two_steps_from_recorded_states(task_id: str) -> None:
    family, recording, env = FAMILIES[name_of(task_id)], record(task_id), gymnasiums(task_id)
    observations, rewards, ended = [], [], 0
    for i, start in recording.episodes():
        for t in range(start, recording.last(i, start) - 1):
            if name_of(task_id) == "Pusher" and not at_rest(recording, i, t):
                continue
            set_to(env, task_id, recording.whole[t][i])
            env.step(recording.action[t][i])
            observation, reward, terminated, _, _ = env.step(recording.action[t + 1][i])
            observations.append(off(recording.observation[t + 2][i], observation))
            rewards.append(off(recording.reward[t + 1][i], reward))
            assert terminated == recording.terminated[t + 1][i]
            ended += terminated
    assert len(observations) > 100
    assert ended or name_of(task_id) in {"HalfCheetah", "HumanoidStandup", "Pusher", "Reacher", "Swimmer"}
    if SAME_PHYSICS:
        assert max(observations) < family.observation
        assert max(rewards) < family.reward
    else:
        assert np.quantile(observations, 0.95) < family.elsewhere
        assert max(rewards) < max(family.elsewhere, family.reward)


def at_rest(recording: Recording, i: int, t: int) -> bool:
    object_at = [recording.observation[k][i][17:20] for k in range(max(t - 1, 0), t + 2)]
    return all(np.array_equal(object_at[0], x) for x in object_at)


@pytest.mark.skipif(not SAME_PHYSICS, reason=f"EnvPool carries MuJoCo 3.6; {mujoco.__version__} drifts away from it")
@every_task
def test_whole_episodes_from_the_start(task_id: str) -> None:
    recording, env = record(task_id), gymnasiums(task_id)
    if name_of(task_id) == "Pusher":
        assert (recording.observation[-1, :2, 17:20] != recording.observation[0, :2, 17:20]).any(axis=1).all()
    steps = 0
    for i, start in recording.episodes():
        set_to(env, task_id, recording.whole[start][i])
        for t in range(start, recording.last(i, start)):
            observation, reward, terminated, _, _ = env.step(recording.action[t][i])
            # Rounding only, even after 60 steps with contacts.
            assert off(recording.observation[t + 1][i], observation) < 1e-9
            assert off(recording.reward[t][i], reward) < 1e-6
            assert terminated == recording.terminated[t][i]
            steps += 1
    assert steps > 150


@pytest.mark.parametrize("task_id", ["Humanoid-v4", "HumanoidStandup-v4"])
def test_what_envpool_leaves_out_of_the_old_humanoids(task_id: str) -> None:
    plain, full = control_task(task_id).make([1, 2]), control_task(task_id, {"post_constraint": True}).make([1, 2])
    plain.reset()
    full.reset()
    actions = np.random.default_rng(0).uniform(-0.4, 0.4, (60, 2, 17)).astype(np.float32)
    touched, cheaper = False, False
    for action in actions:
        (o, r, end, *_), (o_full, r_full, end_full, *_) = plain.step(action), full.step(action)
        assert o[:, :-84].tobytes() == o_full[:, :-84].tobytes()
        assert end.tobytes() == end_full.tobytes()
        assert not o[:, -84:].any()
        touched |= bool(o_full[:, -84:].any())
        cheaper |= bool((r > r_full).any())
    assert touched
    # Only standing up pays for its contacts.
    assert cheaper == (task_id == "HumanoidStandup-v4")
