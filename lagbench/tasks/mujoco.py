"""Continuous control through EnvPool: MuJoCo's tasks, and any other EnvPool task of real vectors."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import envpool
import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from lagbench.domain import CONTROL
from lagbench.errors import UsageError, nearest
from lagbench.machine import cores
from lagbench.protocol import DEFAULT_HIDDEN
from lagbench.tasks import resting
from lagbench.tasks.spec import TaskSpec, check_options, load_task

if TYPE_CHECKING:
    from lagbench.policies.gaussian import GaussianPolicy

# Configuration of EnvPool's that decides how a pool is run rather than what is simulated: the harness sets it.
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
class ControlTask(TaskSpec):
    """A control task: EnvPool's id, the spaces of one environment and the time limit in steps.

    ``observation_space`` is a Box [obs] of float64, ``action_space`` a Box [A] of float32, the precision in which
    actions are recorded and clipped.
    """

    envpool_id: str
    observation_space: Box
    action_space: Box
    max_episode_steps: int

    @property
    def record_sizes(self) -> Mapping[str, int]:
        """See ``TaskSpec.record_sizes``."""
        return {"observation_size": self.observation_space.shape[0], "action_size": self.action_space.shape[0]}

    @property
    def longest_episode(self) -> int:
        """See ``TaskSpec.longest_episode``."""
        return self.max_episode_steps

    def network(self, hidden: Sequence[int] = DEFAULT_HIDDEN) -> GaussianPolicy:
        """See ``TaskSpec.network``."""
        import torch

        from lagbench.policies.gaussian import GaussianPolicy

        sizes = self.observation_space.shape[0], self.action_space.shape[0]
        return GaussianPolicy(*sizes, torch.Generator(), hidden)

    def make(self, seeds: Sequence[int], threads: int = 0) -> EnvPoolVectorEnv:
        """One environment a seed, each a whole number in [0, 2**31).

        ``threads`` is EnvPool's own count, 0 for one a core; it changes no bit of what comes out. Raises UsageError for
        a seed out of range, none at all, or a negative number of threads.
        """
        return EnvPoolVectorEnv(self, len(seeds), seeds=seeds, threads=threads)


def task(task_id: str, /, **options: Any) -> ControlTask:
    """The control task of that EnvPool id; ``options`` are the options that EnvPool's ``make`` takes for it.

    Raises UsageError where EnvPool has no such task, where its actions or observations are not vectors of real numbers,
    and for an unknown option or an option's value of the wrong type.
    """
    default = _envpool_spec(task_id)
    defaults = {k: v for k, v in default.config._asdict().items() if k not in _HARNESS}
    checked = check_options(task_id, options, defaults)
    spec = _envpool_spec(task_id, **checked) if checked else default
    observation_space, action_space = _spaces(task_id, spec)
    return ControlTask(
        task_id=task_id,
        domain=CONTROL,
        options=checked,
        envpool_id=task_id,
        observation_space=observation_space,
        action_space=action_space,
        max_episode_steps=int(spec.config.max_episode_steps),
    )


@functools.cache
def _known_ids() -> frozenset[str]:
    return frozenset(envpool.list_all_envs())


def _envpool_spec(task_id: str, **options: Any) -> Any:
    if task_id not in _known_ids():
        close = nearest(task_id, _known_ids())
        hint = f"; did you mean {close!r}?" if close else "; envpool.list_all_envs() names what there is"
        raise UsageError(f"EnvPool has no task {task_id!r}{hint}")
    return envpool.make_spec(task_id, **options)


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """For some tasks EnvPool builds float32 boxes from float64 bounds, and Gymnasium warns of the lost precision."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*precision lowered by casting", category=UserWarning)
        yield


def _spaces(task_id: str, spec: Any) -> tuple[Box, Box]:
    with _unwarned():
        observation, action = spec.gymnasium_observation_space, spec.gymnasium_action_space
    for space, what in ((observation, "observations"), (action, "actions")):
        real = isinstance(space, Box) and np.issubdtype(space.dtype, np.floating) and len(space.shape) == 1
        if not real:
            kind = f"of shape {space.shape} and type {space.dtype}" if isinstance(space, Box) else type(space).__name__
            raise UsageError(
                f"{task_id} cannot be a control task: its {what} are {kind}, and control takes vectors of real numbers"
            )
    return _box(observation, np.float64), _box(action, np.float32)


def _box(space: Box, dtype: type[np.floating[Any]]) -> Box:
    # Where a task states no bound, EnvPool gives the smallest and the largest positive number of its type.
    limits = np.finfo(cast(Any, space.low.dtype))
    low = np.where(space.low == limits.tiny, -np.inf, space.low).astype(dtype)
    high = np.where(space.high == limits.max, np.inf, space.high).astype(dtype)
    return Box(low, high, dtype=dtype)


class EnvPoolVectorEnv(VectorEnv[NDArray[np.float64], NDArray[np.float32], NDArray[Any]]):
    """N environments of one task, stepped together by EnvPool: observations [N, obs] float64, actions [N, A].

    Autoreset is ``NEXT_STEP``: the observation that comes with a done is the true last one of the episode; the next
    action of that environment is discarded, its reward is 0 and its observation is the first of the new episode.

    EnvPool never sets both flags: an episode that ends by itself on the very step of the time limit is truncated.
    """

    # Not a ClassVar: the base class declares it so.
    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}  # noqa: RUF012
    # There for one whose making fails, which Python closes too.
    _pool: Any = None
    _pool_threads: frozenset[str] = frozenset()

    def __init__(
        self, task: ControlTask, num_envs: int, *, seeds: Sequence[int] | None = None, threads: int = 0
    ) -> None:
        """``seeds`` [N] are those of the first ``reset``, unless that is given its own; without either they are random.

        Nothing is simulated before the first ``reset``. Raises UsageError for fewer than one environment, a number of
        seeds that is not N, a seed outside [0, 2**31) or a negative number of threads.
        """
        if num_envs < 1:
            raise UsageError(f"a vector environment needs at least 1 environment, not {num_envs}")
        if threads < 0:
            raise UsageError(f"threads must be 0 (one a core) or more, not {threads}")
        self.task = task
        self.num_envs = num_envs
        self.single_observation_space = task.observation_space
        self.single_action_space = task.action_space
        self.observation_space = batch_space(task.observation_space, num_envs)
        self.action_space = batch_space(task.action_space, num_envs)
        self._threads = threads
        self._seeds = None if seeds is None else _checked_seeds(seeds, num_envs)
        self._low, self._high = task.action_space.low, task.action_space.high
        shape = (num_envs, *task.action_space.shape)
        self._clipped = np.empty(shape, np.float32)
        self._stepped = np.empty(shape, np.float64)

    @property
    def seeds(self) -> list[int] | None:
        """The seed of each environment [N], or None before the first ``reset`` where none were given."""
        return None if self._seeds is None else list(self._seeds)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Begin a new episode in every environment: first observations [N, obs] and EnvPool's info.

        A sequence [N] gives each environment its seed; from an int they are drawn, so that the environments of
        neighbouring seeds share nothing. A seed begins the environments anew; without one they go on in their own
        random streams. Raises UsageError for a bad seed and for any ``options``, of which there are none.
        """
        if options:
            raise UsageError(f"reset takes no options here, not {sorted(options)}; every environment is reset")
        if self.closed:
            raise ClosedEnvironmentError("this environment is closed; make another")
        if isinstance(seed, (int, np.integer)):
            self._build(_derived_seeds(int(seed), self.num_envs))
            super().reset(seed=int(seed))  # only np_random, which nothing here draws from
        elif seed is not None:
            self._build(_checked_seeds(seed, self.num_envs))
        elif self._pool is None:
            self._build(_derived_seeds(None, self.num_envs) if self._seeds is None else self._seeds)
        observation, info = self._pool.reset()
        return _float64(observation), info

    def step(
        self, actions: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every environment with ``actions`` [N, A], cast to float32 and clipped to the bounds.

        Returns observation [N, obs] float64, reward [N] float32, terminated [N], truncated [N] and EnvPool's info, all
        newly allocated. Raises ResetNeeded before the first ``reset`` and ValueError for another shape.
        """
        observation, reward, terminated, truncated, info = self._step(actions, None)
        return _float64(observation), reward, terminated, truncated, info

    def restore(self, resets: Sequence[int], actions: Sequence[NDArray[np.floating[Any]]]) -> NDArray[np.float64]:
        """Begin anew from the same seeds and go on to where a run of these environments stood.

        Environment i is reset ``resets[i]`` times, its first reset included, and then steps ``actions[i]`` [t_i, A],
        those of its current episode without the one that its reset spent. Returns the current observations [N, obs].
        Later steps equal the original's bit for bit. Raises UsageError without seeds, for a number of resets below 1
        and for lists that are not of length N.
        """
        if self._seeds is None:
            raise UsageError("restore needs the seeds that the environments were made with; give them to make")
        if len(resets) != self.num_envs or len(actions) != self.num_envs:
            raise UsageError(
                f"restore needs {self.num_envs} numbers of resets and as many lists of actions, "
                f"not {len(resets)} and {len(actions)}"
            )
        if min(resets) < 1:
            raise UsageError(f"every environment was reset at least once, not {min(resets)} times")
        self._build(self._seeds)
        current = np.empty((self.num_envs, *self.task.observation_space.shape), np.float64)
        count = np.asarray(resets)
        for k in range(count.max()):
            ids = np.flatnonzero(count > k).astype(np.int32)
            current[ids] = self._pool.reset(ids)[0]
        length = np.array([len(a) for a in actions])
        for t in range(length.max()):
            ids = np.flatnonzero(length > t).astype(np.int32)
            current[ids] = self._step(np.stack([actions[i][t] for i in ids.tolist()]), ids)[0]
        return current

    def close_extras(self, **kwargs: Any) -> None:
        """Let go of the pool and its threads."""
        self._let_go()

    def _step(self, actions: ArrayLike, ids: NDArray[np.int32] | None) -> Any:
        # The one way in which actions reach EnvPool, replay included: float32, clipped so, then EnvPool's own float64.
        if self._pool is None:
            if self.closed:
                raise ClosedEnvironmentError("this environment is closed; make another")
            raise ResetNeeded("reset the environment before the first step")
        n = self.num_envs if ids is None else len(ids)
        clipped, stepped = self._clipped[:n], self._stepped[:n]
        actions = np.asarray(actions, np.float32)
        if actions.shape != clipped.shape:
            raise ValueError(f"actions must have shape {clipped.shape}, not {actions.shape}")
        # Not np.clip, which takes twice as long on arrays of this size; NaN passes through either.
        np.maximum(actions, self._low, out=clipped)
        np.minimum(clipped, self._high, out=clipped)
        stepped[...] = clipped
        return self._pool.step(stepped, ids)

    def _let_go(self) -> None:
        resting.wait_until_asleep(self._pool_threads)
        self._pool, self._pool_threads = None, frozenset()

    def _build(self, seeds: list[int]) -> None:
        self._let_go()
        before = resting.threads()
        try:
            with _unwarned():
                self._pool = envpool.make_gymnasium(
                    self.task.envpool_id,
                    num_envs=self.num_envs,
                    # Left to itself it makes one for every core of the machine.
                    num_threads=self._threads or min(cores(), self.num_envs),
                    seed=seeds,
                    **self.task.options,
                )
                self._pool.observation_space  # noqa: B018 - made when first asked for, by a reset
        except RuntimeError as error:  # a model file that is not there, for one
            raise UsageError(f"EnvPool cannot make {self.task.task_id}: {error}") from error
        self._pool_threads = resting.threads() - before
        self._seeds = seeds


def make_vector(
    num_envs: int, task_id: str, *, seeds: Sequence[int] | None = None, threads: int = 0, **options: Any
) -> EnvPoolVectorEnv:
    """What ``gymnasium.make_vec("lagbench/<task>", num_envs=…)`` calls.

    Raises UsageError as ``load_task`` and EnvPoolVectorEnv do.
    """
    spec = load_task(task_id, options)
    assert isinstance(spec, ControlTask)
    return EnvPoolVectorEnv(spec, num_envs, seeds=seeds, threads=threads)


def make_single(task_id: str, **options: Any) -> Any:
    """What ``gymnasium.make("lagbench/<task>")`` calls: raises UsageError always, these environments are vectors."""
    name = f"lagbench/{task_id}"
    raise UsageError(f"{name} is a vector environment; make it with gymnasium.make_vec({name!r}, num_envs=1)")


def _derived_seeds(seed: int | None, n: int) -> list[int]:
    if seed is not None and seed < 0:
        raise UsageError(f"a seed must be 0 or more, not {seed}")
    words = np.random.SeedSequence(seed).generate_state(n, np.uint32)
    # EnvPool takes int32, and seed + i for env i where it is given a single one: then nearby runs would share streams.
    return cast("list[int]", (words >> 1).tolist())


def _checked_seeds(seeds: Sequence[int], n: int) -> list[int]:
    if len(seeds) != n:
        raise UsageError(f"{n} environments need {n} seeds, not {len(seeds)}")
    checked = [int(s) for s in seeds]
    for s in checked:
        if not 0 <= s < 2**31:
            raise UsageError(f"an environment's seed must lie in [0, 2**31), not {s}")
    return checked


def _float64(observation: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(observation, np.float64)
