"""Every registered control task through the same conformance tests, then spaces, seeds, options and Gymnasium."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import envpool
import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from lagbench import registry
from lagbench.domain import CONTROL
from lagbench.errors import UsageError
from lagbench.tasks import mujoco, registration
from lagbench.tasks.control import ControlTask
from lagbench.tasks.mujoco import EnvPoolTask, EnvPoolVectorEnv
from lagbench.tasks.registration import register_task
from lagbench.tasks.spec import TaskSpec, check_options, load_task

CONTROL_IDS = [i for i in registry.task_ids() if registry.task_entry(i).domain == "control"]
# Tasks that EnvPool has an option for, by which they do not end by themselves.
STOPPABLE = ["Ant-v5", "Hopper-v5", "Humanoid-v5", "Walker2d-v5"]

Row = tuple[NDArray[Any], ...]

every_task = pytest.mark.parametrize("task_id", CONTROL_IDS)


def control_task(task_id: str, **options: Any) -> EnvPoolTask:
    task = load_task(task_id, options)
    assert isinstance(task, EnvPoolTask)
    return task


def random_actions(task: ControlTask, steps: int, n: int, seed: int = 0) -> NDArray[np.float32]:
    """Actions [steps, n, A] from well within the bounds to well beyond them."""
    shape = (steps, n, *task.action_space.shape)
    drawn: NDArray[np.float32] = (
        2 * task.action_space.high * np.random.default_rng(seed).standard_normal(shape)
    ).astype(np.float32)
    return drawn


def drive(env: Any, actions: NDArray[Any]) -> list[Row]:
    """What each step returned: observation, reward, terminated, truncated, elapsed steps."""
    rows: list[Row] = []
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        rows.append((observation, reward, terminated, truncated, info["elapsed_step"]))
    return rows


def assert_same_bits(left: Sequence[Row], right: Sequence[Row]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        for x, y in zip(a, b, strict=True):
            assert x.dtype == y.dtype
            assert x.tobytes() == y.tobytes()


@every_task
def test_spaces_are_those_of_one_environment_and_of_the_batch(task_id: str) -> None:
    task = control_task(task_id)
    assert task.domain is CONTROL
    assert task.observation_space.dtype == np.float64
    assert task.action_space.dtype == np.float32
    assert task.action_space.is_bounded()
    with_limit = control_task(task_id, max_episode_steps=7)
    spec: Any = envpool.make_spec(task_id)
    assert (task.max_episode_steps, with_limit.max_episode_steps) == (spec.config.max_episode_steps, 7)
    env = task.make([1, 2, 3])
    assert env.num_envs == 3
    assert env.single_observation_space == task.observation_space
    assert env.single_action_space == task.action_space
    assert env.observation_space.shape == (3, *task.observation_space.shape)
    assert env.action_space.shape == (3, *task.action_space.shape)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)
    env.action_space.seed(0)
    observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    assert env.observation_space.contains(observation)
    assert [x.dtype.name for x in (reward, terminated, truncated)] == ["float32", "bool", "bool"]
    assert reward.shape == terminated.shape == truncated.shape == (3,)
    assert info["elapsed_step"].tolist() == [1, 1, 1]


@every_task
def test_same_seeds_give_the_same_bits_whatever_the_threads(task_id: str) -> None:
    task = control_task(task_id, max_episode_steps=12)
    actions = random_actions(task, 30, 3)
    runs, firsts = [], []
    for seeds, threads in (([4, 5, 6], 1), ([4, 5, 6], 2), ([7, 8, 9], 2)):
        env = task.make(seeds, threads=threads)
        firsts.append(env.reset()[0])
        runs.append(drive(env, actions))
    assert firsts[0].tobytes() == firsts[1].tobytes()
    assert_same_bits(runs[0], runs[1])
    rows = np.concatenate([firsts[0], firsts[2]])
    assert len(np.unique(rows, axis=0)) == 6
    # An environment knows nothing of its neighbours: its seed alone names its episodes.
    alone = task.make([5])
    assert alone.reset()[0].tobytes() == firsts[0][1:2].tobytes()
    assert_same_bits(drive(alone, actions[:, 1:2]), [tuple(x[1:2] for x in row) for row in runs[0]])


@every_task
def test_an_action_out_of_bounds_steps_as_its_clipped_self(task_id: str) -> None:
    task = control_task(task_id)
    actions = random_actions(task, 20, 3)
    low, high = task.action_space.low, task.action_space.high
    clipped = np.clip(actions, low, high)
    assert (clipped != actions).any()
    raw, inside = task.make([1, 2, 3]), task.make([1, 2, 3])
    raw.reset()
    inside.reset()
    assert_same_bits(drive(raw, actions.astype(np.float64)), drive(inside, clipped))
    # And that is what EnvPool itself makes of the float32 action as a float64.
    pool = envpool.make_gymnasium(task_id, num_envs=3, seed=[1, 2, 3])
    pool.reset()
    inside.reset(seed=[1, 2, 3])
    assert_same_bits(drive(pool, clipped.astype(np.float64)), drive(inside, clipped))


@every_task
def test_the_step_after_a_done_is_a_reset(task_id: str) -> None:
    limit = 12
    task = control_task(task_id, max_episode_steps=limit)
    actions = random_actions(task, 40, 3)
    env = task.make([1, 2, 3])
    previous = env.reset()[0]
    elapsed, ended = np.zeros(3, int), np.zeros(3, bool)
    resets = 0
    for action in actions:
        observation, reward, terminated, truncated, info = env.step(action)
        elapsed = np.where(ended, 0, elapsed + 1)
        assert info["elapsed_step"].tolist() == elapsed.tolist()
        assert (reward[ended] == 0).all()
        assert not (terminated | truncated)[ended].any()
        assert (truncated == (elapsed == limit)).all()
        assert not (terminated & truncated).any()
        assert (observation != previous).any(axis=1).all()
        resets += int(ended.sum())
        ended, previous = terminated | truncated, observation
    assert resets >= 6


@every_task
def test_the_action_of_a_reset_is_discarded(task_id: str) -> None:
    task = control_task(task_id, max_episode_steps=5)
    # Gentle, so that every episode lasts to the limit.
    actions = random_actions(task, 12, 3) * np.float32(0.1)
    other = actions.copy()
    other[5] = task.action_space.high
    runs = []
    for a in (actions, other):
        env = task.make([1, 2, 3])
        env.reset()
        runs.append(drive(env, a))
    assert (runs[0][5][4] == 0).all()
    assert_same_bits(*runs)


@every_task
def test_the_observation_of_a_truncation_is_the_true_last_one(task_id: str) -> None:
    limit = 6
    short, long = control_task(task_id, max_episode_steps=limit), control_task(task_id, max_episode_steps=100)
    actions = random_actions(short, limit, 3) * 0.1
    rows = []
    for task in (short, long):
        env = task.make([1, 2, 3])
        env.reset()
        rows.append(drive(env, actions)[-1])
    assert rows[0][3].all()
    assert not rows[1][3].any()
    assert not rows[1][2].any()
    assert rows[0][0].tobytes() == rows[1][0].tobytes()
    assert rows[0][1].tobytes() == rows[1][1].tobytes()


@pytest.mark.parametrize("task_id", STOPPABLE)
def test_the_observation_of_a_termination_is_the_true_last_one(task_id: str) -> None:
    ending, going = control_task(task_id), control_task(task_id, terminate_when_unhealthy=False)
    actions = random_actions(ending, 150, 4)
    rows = []
    for task in (ending, going):
        env = task.make([1, 2, 3, 4])
        env.reset()
        rows.append(drive(env, actions))
    terminated = np.array([row[2] for row in rows[0]])
    assert terminated.any(axis=0).all()
    for i, t in enumerate(terminated.argmax(axis=0)):
        assert rows[0][t][0][i].tobytes() == rows[1][t][0][i].tobytes()
        assert rows[0][t + 1][4][i] == 0


@pytest.mark.parametrize("task_id", [*STOPPABLE, "InvertedDoublePendulum-v5", "InvertedPendulum-v5"])
def test_an_end_on_the_very_time_limit_is_a_truncation_only(task_id: str) -> None:
    task = control_task(task_id)
    actions = random_actions(task, 200, 1)
    env = task.make([3])
    env.reset()
    end = next(t for t, row in enumerate(drive(env, actions), 1) if row[2][0])
    limited = control_task(task_id, max_episode_steps=end).make([3])
    limited.reset()
    *_, terminated, truncated, _ = drive(limited, actions[:end])[-1]
    assert (terminated[0], truncated[0]) == (False, True)


@every_task
@pytest.mark.parametrize("at", ["in an episode", "at a done"])
def test_restore_goes_on_bit_for_bit(task_id: str, at: str) -> None:
    task = control_task(task_id, max_episode_steps=15)
    actions = random_actions(task, 70, 3)
    seeds = [11, 12, 13]
    original = task.make(seeds, threads=1)
    observation = original.reset()[0]
    resets, ended = [1, 1, 1], np.zeros(3, bool)
    episodes: list[list[NDArray[np.float32]]] = [[], [], []]
    for t, action in enumerate(actions):
        if t >= 40 and ended.any() == (at == "at a done"):
            break
        observation, _, terminated, truncated, _ = original.step(action)
        for i in range(3):
            if ended[i]:
                resets[i], episodes[i] = resets[i] + 1, []
            else:
                episodes[i].append(action[i])
        ended = terminated | truncated
    assert min(resets) >= 3
    shape = (-1, *task.action_space.shape)
    copy = task.make(seeds, threads=2)
    restored = copy.restore(resets, [np.array(e, np.float32).reshape(shape) for e in episodes])
    assert restored.tobytes() == observation.tobytes()
    rest = actions[t : t + 25]
    assert_same_bits(drive(copy, rest), drive(original, rest))


def test_returned_arrays_are_never_written_again() -> None:
    env = control_task("Hopper-v5").make([1, 2])
    actions = random_actions(env.task, 10, 2)
    first = env.reset()[0]
    kept: list[Row] = [(first, first.copy())]
    for action in actions:
        observation, reward, *_ = env.step(action)
        kept += [(observation, observation.copy()), (reward, reward.copy())]
        assert not np.shares_memory(observation, action)
    for array, copy in kept:
        assert array.tobytes() == copy.tobytes()


def test_neighbouring_seeds_share_no_stream() -> None:
    task = control_task("HalfCheetah-v5")
    drawn, first = [], []
    for seed in range(5):
        env = EnvPoolVectorEnv(task, 8)
        first.append(env.reset(seed=seed)[0])
        drawn.append(env.seeds)
    flat = np.array(drawn).ravel()
    assert len(set(flat.tolist())) == 40
    assert flat.min() >= 0
    assert len(np.unique(np.concatenate(first), axis=0)) == 40


def test_seed_of_reset_wins_over_seeds_of_make_and_begins_anew() -> None:
    task = control_task("Hopper-v5")
    env = task.make([1, 2])
    first = env.reset()[0]
    second = env.reset()[0]
    assert (second != first).any(axis=1).all()
    assert env.reset(seed=[1, 2])[0].tobytes() == first.tobytes()
    assert env.reset()[0].tobytes() == second.tobytes()
    drawn = env.reset(seed=5)[0]
    assert env.reset(seed=5)[0].tobytes() == drawn.tobytes()
    assert task.make(env.seeds or []).reset()[0].tobytes() == drawn.tobytes()
    assert EnvPoolVectorEnv(task, 2).reset(seed=5)[0].tobytes() == drawn.tobytes()


def test_without_any_seed_every_pool_is_another() -> None:
    task = control_task("Hopper-v5")
    left, right = EnvPoolVectorEnv(task, 2), EnvPoolVectorEnv(task, 2)
    assert left.seeds is None
    left.reset()
    right.reset()
    assert len({*(left.seeds or []), *(right.seeds or [])}) == 4


def test_seeds_given_to_make_build_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    real = envpool.make_gymnasium

    def make(*args: Any, **kwargs: Any) -> Any:
        built.append(kwargs["seed"])
        return real(*args, **kwargs)

    monkeypatch.setattr(envpool, "make_gymnasium", make)
    env = control_task("Hopper-v5").make([1, 2])
    env.reset()
    env.step(np.zeros((2, 3)))
    env.reset()
    assert built == [[1, 2]]
    env.reset(seed=[3, 4])
    assert built == [[1, 2], [3, 4]]


def test_out_of_order_use_is_refused() -> None:
    env = control_task("Hopper-v5").make([1, 2])
    with pytest.raises(ResetNeeded, match="reset the environment before"):
        env.step(np.zeros((2, 3)))
    env.reset()
    for wrong in (np.zeros(3), np.zeros((1, 3)), np.zeros((2, 2))):
        with pytest.raises(ValueError, match=r"actions must have shape \(2, 3\)"):
            env.step(wrong)
    env.close()
    with pytest.raises(ClosedEnvironmentError):
        env.step(np.zeros((2, 3)))
    with pytest.raises(ClosedEnvironmentError):
        env.reset()


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda t: t.make([]), "at least 1 environment, not 0"),
        (lambda t: t.make([2**31]), r"must be in \[0, 2\*\*31\), not 2147483648"),
        (lambda t: t.make([1], threads=-1), "threads must be 0"),
        (lambda t: EnvPoolVectorEnv(t, 2, seeds=[1]), "2 environments need 2 seeds, not 1"),
        (lambda t: t.make([1]).reset(seed=[1, 2]), "1 environments need 1 seeds, not 2"),
        (lambda t: t.make([1]).reset(seed=-1), "a seed must be 0 or more, not -1"),
        (lambda t: t.make([1]).reset(options={"reset_mask": [True]}), "reset takes no options"),
        (lambda t: EnvPoolVectorEnv(t, 1).restore([1], [np.zeros((0, 3))]), "restore needs the environments' seeds"),
        (lambda t: t.make([1]).restore([0], [np.zeros((0, 3))]), "reset at least once, not 0 times"),
        (lambda t: t.make([1]).restore([1, 1], [np.zeros((0, 3))]), "not 2 and 1"),
    ],
)
def test_bad_use_is_one_sentence(use: Callable[[EnvPoolTask], object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        use(control_task("Hopper-v5"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: mujoco.task("Hoper-v5"), "EnvPool has no task 'Hoper-v5'; did you mean 'Hopper-v5'"),
        (lambda: mujoco.task("§"), "EnvPool has no task '§'; see envpool.list_all_envs"),
        (
            lambda: load_task("Hopper-v5", {"max_steps": 3}),
            "unknown task option 'max_steps'; did you mean 'max_episode_steps'.*reset_noise_scale",
        ),
        (lambda: load_task("Hopper-v5", {"num_envs": 3}), "unknown task option 'num_envs'"),
        (
            lambda: load_task("Hopper-v5", {"max_episode_steps": 0}),
            r"must be in \[1, 2147483647\], not 0; its default is 1000",
        ),
        (lambda: load_task("Hopper-v5", {"max_episode_steps": True}), "must be a whole number .*, not True"),
        (lambda: load_task("Hopper-v5", {"healthy_reward": "big"}), "must be a number, not 'big'"),
        (lambda: load_task("Hopper-v5", {"terminate_when_unhealthy": 1}), "must be true or false, not 1"),
        (lambda: control_task("Hopper-v5", xml_file="no.xml").make([1]).reset(), "EnvPool cannot make Hopper-v5"),
    ],
)
def test_a_bad_task_is_one_sentence(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_options_reach_the_simulation_and_are_kept() -> None:
    task = control_task("Hopper-v5", reset_noise_scale=0, max_episode_steps=4)
    assert task.options == {"reset_noise_scale": 0.0, "max_episode_steps": 4}
    assert task == control_task("lagbench/Hopper-v5", reset_noise_scale=0.0, max_episode_steps=4)
    assert task != control_task("Hopper-v5")
    env = task.make([1, 2])
    first = env.reset()[0]
    assert first[0].tobytes() == first[1].tobytes()
    rows = drive(env, np.zeros((4, 2, 3)))
    assert rows[-1][3].all()


def test_defaults_of_a_registration_hold_unless_the_caller_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    register_task("BipedalWalker-v3", max_episode_steps=20)
    assert control_task("BipedalWalker-v3").max_episode_steps == 20
    task = control_task("BipedalWalker-v3", max_episode_steps=30)
    assert task.max_episode_steps == 30
    # A task of EnvPool's beside MuJoCo: float32 inside, bounds left open where EnvPool states none.
    assert task.observation_space == Box(-np.inf, np.inf, (24,), np.float64)
    env = task.make([1, 2])
    assert env.reset()[0].dtype == np.float64
    assert env.step(np.ones((2, 4)))[0].dtype == np.float64


def test_check_options_takes_whole_numbers_for_floats_only() -> None:
    assert check_options("T", {"a": 1}, {"a": 0.5, "b": True}) == {"a": 1.0}
    with pytest.raises(UsageError, match="must be text, not 1"):
        check_options("T", {"a": 1}, {"a": "x"})


def test_load_task_gives_a_spec() -> None:
    assert isinstance(load_task("Hopper-v5"), TaskSpec)
    assert load_task("Hopper-v5").options == {}


@every_task
def test_gymnasium_makes_every_task(task_id: str) -> None:
    registration.register()
    env = gymnasium.make_vec(f"lagbench/{task_id}", num_envs=2, max_episode_steps=9)
    assert isinstance(env, EnvPoolVectorEnv)
    assert env.task == control_task(task_id, max_episode_steps=9)
    first = env.reset(seed=3)[0]
    again = gymnasium.make_vec(f"lagbench:lagbench/{task_id}", num_envs=2, seeds=env.seeds, threads=1)
    assert again.reset()[0].tobytes() == first.tobytes()


def test_registration_can_be_repeated_and_a_single_environment_is_refused() -> None:
    registration.register()
    registration.register()
    sentence = r"create it with gymnasium.make_vec\('lagbench/Hopper-v5', num_envs=1\)"
    with pytest.raises(UsageError, match=sentence):
        gymnasium.make("lagbench/Hopper-v5")
    with pytest.raises(UsageError, match=sentence):
        gymnasium.make_vec("lagbench/Hopper-v5", vectorization_mode="sync")


def run_python(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


def test_a_fresh_interpreter_finds_the_tasks_through_gymnasium_alone() -> None:
    run_python(
        "import gymnasium\n"
        "env = gymnasium.make_vec('lagbench:lagbench/Hopper-v5', num_envs=3)\n"
        "assert env.reset(seed=1)[0].shape == (3, 11)\n"
    )


def test_tasks_are_registered_without_a_simulator() -> None:
    run_python(
        "import sys, gymnasium, lagbench\n"
        "import lagbench.tasks.spec\n"
        "assert 'lagbench/Hopper-v5' in gymnasium.registry\n"
        "heavy = {'envpool', 'torch', 'mujoco', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
