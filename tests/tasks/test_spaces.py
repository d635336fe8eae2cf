"""Which spaces control takes, and how observations become vectors: every id of EnvPool's, one of each kind stepped."""

from __future__ import annotations

from collections import Counter
from typing import Any

import envpool
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Space, Tuple

from lagbench.tasks import mujoco
from lagbench.tasks.control import control_spaces, flattened
from lagbench.tasks.spec import load_task
from tests.cli.run_here import lagbench
from tests.refusals import refusal

# One id of each kind of spaces that EnvPool has: what its observations are made of, and its actions.
KINDS = {
    "float64 vector, float64 vector": "Reacher-v5",
    "float64 vector, float32 vector": "MetaWorld/Reach-v3",
    "float32 vector, float32 vector": "BipedalWalker-v3",
    "float32 vector, discrete": "CartPole-v1",
    "float32 matrix, discrete": "Highway-v0",
    "float32 images, discrete": "TwoWay-v0",
    "float32 images, float32 vector": "Racetrack-v0",
    "dict of vectors, float64 vector": "CheetahRun-v1",
    "dict of vectors, float32 vector": "Parking-v0",
    "dict with numbers, float64 vector": "FingerSpin-v1",
    "dict with matrices, float64 vector": "ManipulatorBringBall-v1",
    "dict in a dict, float64 vector": "FrankaKitchen-v1",
}


def real(low: float, high: float, *shape: int) -> Box:
    return Box(low, high, shape, np.float64)


def test_a_dict_is_flattened_by_its_sorted_keys() -> None:
    space = Dict({"b": real(0, 2, 2, 2), "a": Tuple([real(-1, 1, 1), real(-3, 3)])})
    observations, actions = control_spaces("T", space, Discrete(4))
    assert observations == Box(np.array([-1.0, -3, 0, 0, 0, 0]), np.array([1.0, 3, 2, 2, 2, 2]), dtype=np.float64)
    assert actions == Discrete(4)
    batch = {
        "b": np.arange(8, dtype=np.float32).reshape(2, 2, 2),
        "a": (np.array([[10.0], [11.0]]), np.array([20.0, 21.0])),
    }
    assert flattened(space, batch, 2).tolist() == [[10, 20, 0, 1, 2, 3], [11, 21, 4, 5, 6, 7]]


@pytest.mark.parametrize(
    ("observation", "action", "sentence"),
    [
        (Box(0, 255, (84, 84, 3), np.uint8), Discrete(2), "its observations are pixels, of shape (84, 84, 3) and type"),
        (Dict(a=real(0, 1, 2), b=Discrete(3)), Discrete(2), "its observations are Discrete, and control takes real"),
        (real(0, 1, 2), MultiDiscrete([2, 2]), "its actions are MultiDiscrete, and control takes one vector of real"),
        (real(0, 1, 2), real(0, 1, 2, 2), "its actions are of shape (2, 2) and type float64, and control takes one"),
        (real(0, 1, 2), Discrete(2, start=1), "its actions begin at 1, and not at 0"),
    ],
)
def test_what_control_cannot_take(observation: Space[Any], action: Space[Any], sentence: str) -> None:
    assert refusal(control_spaces, "T-v0", observation, action).startswith(f"T-v0 cannot be a control task: {sentence}")


@pytest.mark.parametrize("task_id", KINDS.values(), ids=KINDS)
def test_one_task_of_each_kind_is_stepped_and_restored(task_id: str) -> None:
    task = load_task(task_id)
    assert isinstance(task, mujoco.EnvPoolTask)
    env = task.make([1, 2])
    rng = np.random.default_rng(0)
    actions = [task.random_actions(rng, 2) for _ in range(6)]
    observation, _ = env.reset()
    assert observation.shape == (2, *task.observation_space.shape)
    assert observation.dtype == np.float64
    rows = [env.step(a) for a in actions]
    if not any((row[2] | row[3]).any() for row in rows):
        again = task.make([1, 2])
        kept = [np.stack([a[i] for a in actions]) for i in range(2)]
        assert again.restore([1, 1], kept).tobytes() == rows[-1][0].tobytes()
    # A pool that nothing of lagbench's is around gives the same numbers, by its own keys.
    with mujoco._unwarned():
        raw = envpool.make_gymnasium(task_id, num_envs=2, seed=[1, 2]).reset()[0]
    parts = [raw] if isinstance(raw, np.ndarray) else _leaves(raw)
    joined = np.concatenate([x.reshape(2, -1) for x in parts], axis=1).astype(np.float64)
    assert joined.tobytes() == observation.tobytes()


def _leaves(observation: Any) -> list[Any]:
    found = [observation[k] for k in sorted(observation)]
    return [x for part in found for x in (_leaves(part) if isinstance(part, dict) else [part])]


@pytest.mark.slow
def test_every_id_works_or_says_why_not() -> None:
    done = lagbench("list", "tasks", "--all", "--json")
    rows = {row["task"]: row for row in done.json}
    assert rows.keys() >= mujoco.known_ids()
    assert {"GSM8kMini-v0", "Hopper-v5"} <= rows.keys()
    assert all(rows[task]["works"] == "yes" for task in ("GSM8kMini-v0", *KINDS.values()))
    reasons = Counter(row["reason"].partition(",")[0] for row in rows.values() if row["works"] == "no")
    assert reasons["its observations are pixels"] > 100
    # All with real observations and actions do.
    assert sum(row["works"] == "yes" for row in rows.values()) > 1100
    assert all(reason.startswith(("its observations are ", "its actions are ", "EnvPool has ")) for reason in reasons)
    done = lagbench("list", "algorithms", "--all")
    told = "Error: --all applies only to tasks; leave it out: lagbench list algorithms"
    assert (done.code, done.sentence) == (2, told)
