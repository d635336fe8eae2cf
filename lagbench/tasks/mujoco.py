"""Control tasks of EnvPool: MuJoCo's, and all others with supported spaces."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import envpool
import numpy as np
from numpy.typing import NDArray

from lagbench.domain import CONTROL
from lagbench.errors import UsageError, nearest
from lagbench.machine import cores
from lagbench.tasks import resting
from lagbench.tasks.control import CANNOT, ControlTask, ControlVectorEnv, control_spaces, flattened
from lagbench.tasks.spec import check_options, load_task

# EnvPool's options of how a pool is run rather than what is simulated: the harness sets them.
_HARNESS = frozenset(
    {
        "num_envs",
        "batch_size",
        "num_threads",
        "max_num_players",
        "thread_affinity_offset",
        "base_path",
        "seed",
        "env_seed",
        "gym_reset_return_info",
    }
)


@dataclass(frozen=True)
class EnvPoolTask(ControlTask):
    """A control task of EnvPool, by its EnvPool id."""

    envpool_id: str

    def make(self, seeds: Sequence[int], threads: int = 0) -> EnvPoolVectorEnv:
        """See ``ControlTask.make``."""
        return EnvPoolVectorEnv(self, len(seeds), seeds=seeds, threads=threads)


def task(task_id: str, /, **options: Any) -> EnvPoolTask:
    """The control task of that EnvPool id; ``options`` are those of EnvPool's ``make``.

    Raises UsageError if EnvPool has no such task or its spaces are not supported, and for an unknown option or a value
    of the wrong type.
    """
    default = _envpool_spec(task_id)
    defaults = {k: v for k, v in default.config._asdict().items() if k not in _HARNESS}
    checked = check_options(task_id, options, defaults)
    spec = _envpool_spec(task_id, **checked) if checked else default
    with _unwarned():
        observation, action = spec.gymnasium_observation_space, spec.gymnasium_action_space
    observation_space, action_space = control_spaces(task_id, observation, action)
    return EnvPoolTask(
        task_id=task_id,
        domain=CONTROL,
        options=checked,
        envpool_id=task_id,
        observation_space=observation_space,
        action_space=action_space,
        max_episode_steps=int(spec.config.max_episode_steps),
    )


@functools.cache
def known_ids() -> frozenset[str]:
    """EnvPool's task ids, including those with unsupported spaces."""
    return frozenset(envpool.list_all_envs())


def _envpool_spec(task_id: str, **options: Any) -> Any:
    if task_id not in known_ids():
        close = nearest(task_id, known_ids())
        hint = f"; did you mean {close!r}?" if close else "; see envpool.list_all_envs()"
        raise UsageError(f"EnvPool has no task {task_id!r}{hint}")
    try:
        return envpool.make_spec(task_id, **options)
    except Exception as error:  # such as a missing system library
        raise UsageError(f"{CANNOT.format(task_id)}EnvPool has {' '.join(str(error).split())}") from error


@functools.cache
def refused(task_id: str) -> str:
    """Why a task of EnvPool, with default options, is not supported; empty if it is."""
    try:
        task(task_id)
    except UsageError as error:
        return str(error).removeprefix(CANNOT.format(task_id))
    return ""


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """Suppress Gymnasium's warning of lost precision: EnvPool builds some float32 boxes from float64 bounds."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*precision lowered by casting", category=UserWarning)
        yield


class EnvPoolVectorEnv(ControlVectorEnv):
    """N environments of one task, stepped together by EnvPool; see ``ControlVectorEnv``.

    EnvPool never sets both flags: an episode that terminates on the step of the time limit is truncated.
    """

    # Class attributes, since Python also closes instances whose constructor failed.
    _pool: Any = None
    _pool_threads: frozenset[str] = frozenset()

    def __init__(
        self, task: EnvPoolTask, num_envs: int, *, seeds: Sequence[int] | None = None, threads: int = 0
    ) -> None:
        """See ``ControlVectorEnv``."""
        super().__init__(task, num_envs, seeds=seeds, threads=threads)
        self._id = task.envpool_id
        # EnvPool's dtype: float64, or int32 for discrete actions.
        self._stepped = np.empty_like(self._taken, np.float64 if self._bounds else np.int32)

    def close_extras(self, **kwargs: Any) -> None:
        """Release the pool and its threads."""
        self._let_go()

    @property
    def _begun(self) -> bool:
        return self._pool is not None

    def _reset(self, ids: NDArray[np.int32] | None = None) -> tuple[NDArray[Any], dict[str, Any]]:
        observation, info = self._pool.reset(ids)
        return self._flat(observation, ids), info

    def _step(self, actions: NDArray[Any], ids: NDArray[np.int32] | None = None) -> Any:
        stepped = self._stepped[: len(actions)]
        stepped[...] = actions
        observation, *rest = self._pool.step(stepped, ids)
        return self._flat(observation, ids), *rest

    def _flat(self, observation: Any, ids: NDArray[np.int32] | None) -> NDArray[Any]:
        if isinstance(observation, np.ndarray) and observation.ndim == 2:
            return observation
        return flattened(self._pool.observation_space, observation, self.num_envs if ids is None else len(ids))

    def _restore(self, resets: Sequence[int], actions: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        current = np.empty((self.num_envs, *self.task.observation_space.shape), np.float64)
        count = np.asarray(resets)
        for k in range(count.max()):
            ids = np.flatnonzero(count > k).astype(np.int32)
            current[ids] = self._reset(ids)[0]
        length = np.array([len(a) for a in actions])
        for t in range(length.max()):
            ids = np.flatnonzero(length > t).astype(np.int32)
            chosen = self._within(np.stack([actions[i][t] for i in ids.tolist()]), len(ids))
            current[ids] = self._step(chosen, ids)[0]
        return current

    def _let_go(self) -> None:
        resting.wait_until_asleep(self._pool_threads)
        self._pool, self._pool_threads = None, frozenset()

    def _begin(self, seeds: list[int]) -> None:
        self._let_go()
        before = resting.threads()
        try:
            with _unwarned():
                self._pool = envpool.make_gymnasium(
                    self._id,
                    num_envs=self.num_envs,
                    # EnvPool's default is one per core of the machine.
                    num_threads=self._threads or min(cores(), self.num_envs),
                    seed=seeds,
                    **self.task.options,
                )
                self._pool.observation_space  # noqa: B018 - created on first access, here without the warning
        except RuntimeError as error:  # such as a missing model file
            raise UsageError(f"EnvPool cannot make {self.task.task_id}: {error}") from error
        self._pool_threads = resting.threads() - before
        self._seeds = seeds


def make_vector(
    num_envs: int, task_id: str, *, seeds: Sequence[int] | None = None, threads: int = 0, **options: Any
) -> EnvPoolVectorEnv:
    """The entry point of ``gymnasium.make_vec("lagbench/<task>", num_envs=…)``.

    Raises UsageError as ``load_task`` and EnvPoolVectorEnv.
    """
    spec = load_task(task_id, options)
    assert isinstance(spec, EnvPoolTask)
    return EnvPoolVectorEnv(spec, num_envs, seeds=seeds, threads=threads)


def make_single(task_id: str, **options: Any) -> Any:
    """The entry point of ``gymnasium.make("lagbench/<task>")``: always raises UsageError, use ``make_vec``."""
    name = f"lagbench/{task_id}"
    raise UsageError(f"{name} is a vector environment; create it with gymnasium.make_vec({name!r}, num_envs=1)")
