"""Environments of one's own, by Gymnasium: conformance as of EnvPool's, tried for repeating, run, resumed, replayed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lagbench as package
from lagbench.tasks.environments import EnvironmentTask, EnvironmentVectorEnv, episode_seed
from lagbench.tasks.spec import load_task
from tests.cli.run_here import SMALL, content_hash, lagbench
from tests.ends import cut_off
from tests.refusals import refusal

pytestmark = pytest.mark.usefixtures("small_warm_up")
EXAMPLE = Path(__file__).parents[2] / "examples/own_environment.py"
OTHERS = """
import random
import signal
import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

class Endless(gymnasium.Env):
    observation_space, action_space = Box(-1, 1, (2,)), Box(-1, 1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action):
        assert action.dtype == np.float32 and abs(action[0]) <= 1
        return np.full(2, action[0]), float(action[0]), False, False, {}

class Careless(Endless):
    def reset(self, *, seed=None, options=None):
        return np.array([random.random(), 0.0], np.float32), {}

class Deaf(Endless):
    def step(self, action):
        return np.zeros(2), signal.getsignal(signal.SIGINT) is signal.SIG_IGN, False, False, {}

class Pictures(Endless):
    observation_space = Box(0, 255, (8, 8, 3), np.uint8)

def registered(task_id, **options):
    return gymnasium.make("CartPole-v1", **options)

def number(task_id):
    return 3
"""


@pytest.fixture(autouse=True)
def _here(here: Path) -> None:
    shutil.copy(EXAMPLE, "cart.py")
    Path("others.py").write_text(OTHERS)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def control_task(name: str, **options: Any) -> EnvironmentTask:
    task = load_task(name, options)
    assert isinstance(task, EnvironmentTask)
    return task


def cart(**options: Any) -> EnvironmentTask:
    return control_task("cart.py:make", **options)


def test_it_is_the_environment_with_a_seed_for_each_episode() -> None:
    task = cart(max_episode_steps="7")
    assert (task.max_episode_steps, task.observation_space.shape, task.action_space.n) == (7, (3,), 3)
    env = task.make([5, 6])
    made: Any = task.maker()
    alone = made.env
    first = alone.reset(seed=5)[0]
    observation, _ = env.reset()
    rng, actions = np.random.default_rng(0), []
    assert observation[0].tolist() == [*first["cart"], *first["mark"]]
    for t in range(1, 20):
        actions.append(task.random_actions(rng, 2))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        assert reward.dtype == np.float32
        if t % 8:
            expected, its_reward, *_ = alone.step(int(actions[-1][0]))
            assert reward[0] == np.float32(its_reward)
        else:
            # The row of the reset: its action is discarded, and the next episode begins from the next seed.
            expected, _ = alone.reset(seed=episode_seed(5, t // 8))
            assert reward.tolist() == [0.0, 0.0]
        assert observation[0].tolist() == [*expected["cart"], *expected["mark"]]
        assert truncated.tolist() == [t % 8 == 7] * 2
        assert not terminated.any()
    # In its third episode, three steps on.
    again = task.make([5, 6])
    restored = again.restore([3, 3], [np.stack([a[i] for a in actions[16:]]) for i in range(2)])
    assert restored.tobytes() == observation.tobytes()
    assert again.step(actions[0])[0].tobytes() == env.step(actions[0])[0].tobytes()


def test_processes_of_their_own_give_the_same_rows() -> None:
    rows = []
    for vectorization in ("sync", "async"):
        task = cart(vectorization=vectorization, max_episode_steps=5)
        env = task.make([1, 2])
        assert isinstance(env, EnvironmentVectorEnv)
        rng = np.random.default_rng(0)
        rows.append([env.reset()[0], *(env.step(task.random_actions(rng, 2))[:4] for _ in range(12))])
        env.close()
    for one, two in zip(*rows, strict=True):
        assert [x.tobytes() for x in one] == [x.tobytes() for x in two]


@pytest.fixture
def hears() -> Iterator[None]:
    """This process does not ignore Ctrl-C, as one does that a shell has started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("hears")
def test_ctrl_c_is_for_the_run_and_not_for_processes_of_environments() -> None:
    for vectorization, deaf in (("sync", 0.0), ("async", 1.0)):
        task = load_task("others.py:Deaf", {"vectorization": vectorization, "max_episode_steps": 5})
        assert isinstance(task, EnvironmentTask)
        env = task.make([1])
        env.reset()
        assert env.step(task.actions(1))[1].tolist() == [deaf]
        env.close()


def test_processes_of_their_own_end_with_the_run_without_a_word() -> None:
    line = ("--task", "cart.py:make", "--task-set", "vectorization=async", "--actors", "2", "--eval-intervals", "1")
    small = ("--phase-steps", "8", "--minibatch", "16", "--budget", "16", "--eval-episodes", "1", "-q", "--out", "run")
    # So many processes as the warm-up has take their time to start.
    code = "from lagbench.actors import control; control.WARMUP_ACTORS = 2; from lagbench.cli.main import main; main()"
    command = [sys.executable, "-c", code, "run", *line, *small]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (0, "run\n", "")


def test_it_is_run_resumed_replayed_and_kept() -> None:
    line = ("run", "--task", "cart.py:make", "--task-set", "pushes=5", "--lag", "2", *SMALL, "-q", "--out")
    assert lagbench(*line, "run").code == 0
    run = package.open("run")
    assert run.spec.task_options["pushes"] == 5
    assert run.environment[0]["determinism"].startswith("exact")
    Path("cart.py").unlink()  # the run has a copy
    cut_off(run.spec, Path("cut"))
    assert lagbench("resume", "cut", "-q").code == 0
    assert content_hash(Path("cut")) == content_hash(Path("run"))
    assert lagbench("replay", "run", "--training", "-q").code == 0


def test_what_does_not_repeat_says_so_and_goes_on_otherwise() -> None:
    line = ("run", "--task", "others.py:Careless", "--task-set", "max_episode_steps=20", *SMALL, "-q", "--out", "run")
    done = lagbench(*line)
    assert (done.code, done.err) == (
        0,
        "note: others.py:Careless does not repeat from seeds and actions (tried): a replay steps nothing again, and a "
        "resumed run begins its episodes anew\n",
    )
    run = package.open("run")
    assert run.environment[0]["determinism"].startswith("none: episodes of this task do not follow")
    cut_off(run.spec, Path("cut"))
    done = lagbench("resume", "cut", "-q")
    assert done.code == 0
    assert done.err.startswith("note: others.py:Careless does not repeat")
    for path in ("run", "cut"):
        report = package.replay(package.open(path), training=True)
        assert report.passed
        outcomes = {check.name: check.outcome for check in report.checks}
        assert (outcomes["evaluation episodes"], outcomes["training episodes"]) == ("skipped", "skipped")
        assert (outcomes["policy"], outcomes["episode sums"]) == ("ok", "ok")


def test_a_function_may_take_the_id_and_any_option() -> None:
    task = control_task("others.py:registered", max_episode_steps="30")
    assert (task.max_episode_steps, dict(task.options)) == (30, {"max_episode_steps": 30})
    assert task.repeats
    assert control_task("others.py:registered").max_episode_steps == 500
    package.register_task("Own-v0", entry="others.py:registered", max_episode_steps=10)
    assert control_task("Own-v0").max_episode_steps == 10


@pytest.mark.parametrize(
    ("task", "options", "sentence"),
    [
        ("others.py:Endless", {}, "others.py:Endless makes an environment without a time limit, so that an episode "),
        (
            "others.py:Pictures",
            {"max_episode_steps": 5},
            "others.py:Pictures cannot be a control task: its observation",
        ),
        ("others.py:number", {}, "others.py:number must return a Gymnasium environment, or a TaskSpec as lagbench.ta"),
        ("cart.py:make", {"push": 3}, "unknown task option 'push'; did you mean 'pushes'? Known: max_episode_steps, p"),
        ("cart.py:make", {"pushes": "many"}, "task option 'pushes' of cart.py:make must be a whole number in [1, 21"),
        ("cart.py:make", {"vectorization": "thread"}, "unknown vectorization 'thread'. Known: async, sync."),
        ("cart.py:make", {"max_episode_steps": 101}, "max_episode_steps must be at most 100, where cart.py:make ends"),
        ("Hopper-v5", {"vectorization": "sync"}, "vectorization is an option of Gymnasium environments, not of "),
    ],
)
def test_refusals(task: str, options: dict[str, Any], sentence: str) -> None:
    assert refusal(load_task, task, options).startswith(sentence)
