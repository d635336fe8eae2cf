"""Control tasks of any simulator: their spaces, and environments that are stepped together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.spaces import Box, Dict, Discrete, Space, Tuple
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from lagbench.errors import UsageError
from lagbench.protocol import DEFAULT_HIDDEN
from lagbench.tasks.spec import TaskSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lagbench.policies.control import ControlPolicy


CANNOT = "{} cannot be a control task: "
"""The start of the message why a task is refused."""


@dataclass(frozen=True)
class ControlTask(TaskSpec):
    """A control task: the spaces of one environment and the time limit in steps.

    ``observation_space`` is a Box [obs] of float64. ``action_space`` is a Box [A] of float32, the precision in which
    actions are recorded and clipped, or a Discrete from 0.
    """

    observation_space: Box
    action_space: Any  # Box | Discrete: most callers know which
    max_episode_steps: int

    @property
    def record_sizes(self) -> Mapping[str, int]:
        """See ``TaskSpec.record_sizes``; an ``action_size`` of 0 means discrete actions."""
        size = 0 if isinstance(self.action_space, Discrete) else self.action_space.shape[0]
        return {"observation_size": self.observation_space.shape[0], "action_size": size}

    def network(
        self,
        hidden: Sequence[int] = DEFAULT_HIDDEN,
        generator: torch.Generator | None = None,
        build: Callable[..., Any] | None = None,
    ) -> ControlPolicy:
        """See ``TaskSpec.network``."""
        import torch

        from lagbench.policies.categorical import CategoricalPolicy
        from lagbench.policies.gaussian import GaussianPolicy
        from lagbench.policies.own import control_policy

        size, stream = self.observation_space.shape[0], generator or torch.Generator()
        if build is not None:
            return control_policy(build, self.observation_space, self.action_space, stream)
        if isinstance(self.action_space, Discrete):
            return CategoricalPolicy(size, int(self.action_space.n), stream, hidden)
        return GaussianPolicy(size, self.action_space.shape[0], stream, hidden)

    def actions(self, *shape: int) -> NDArray[Any]:
        """An array of zeros for actions: float32 [*shape, A], or int32 [*shape] if discrete."""
        discrete = isinstance(self.action_space, Discrete)
        return np.zeros(shape + self.action_space.shape, np.int32 if discrete else np.float32)

    def random_actions(self, rng: np.random.Generator, n: int) -> NDArray[Any]:
        """Uniform actions [n, …]."""
        if isinstance(self.action_space, Discrete):
            return rng.integers(self.action_space.n, size=n, dtype=np.int32)
        low, high = self.action_space.low, self.action_space.high
        return rng.uniform(low, high, (n, *self.action_space.shape)).astype(np.float32)

    def impossible(self, actions: NDArray[Any]) -> NDArray[np.intp]:
        """The indices of discrete actions [n] outside the action space, which a simulator may not refuse."""
        if not isinstance(self.action_space, Discrete):
            return np.empty(0, np.intp)
        return np.flatnonzero((actions < 0) | (actions >= self.action_space.n))

    @property
    def repeats(self) -> bool:
        """See ``TaskSpec.repeats``: tried once per process."""
        key = self.identity
        if key not in _tried:
            _tried[key] = _repeats(self)
        return _tried[key]

    @property
    def identity(self) -> str:
        """A key that distinguishes it from other tasks in this process."""
        return f"{self.task_id} {dict(self.options)}"

    @abstractmethod
    def make(self, seeds: Sequence[int], threads: int = 0) -> ControlVectorEnv:
        """Create one environment per seed, each a whole number in [0, 2**31).

        ``threads`` is EnvPool's number of threads, 0 for one per core; it does not affect results. Raises UsageError
        for a seed out of range, no seeds, or a negative number of threads.
        """


_tried: dict[str, bool] = {}
_TRIAL_STEPS = 64


def _repeats(task: ControlTask) -> bool:
    """Whether ``restore`` brings two environments to the state of two others, and later steps are equal."""
    rng, seeds = np.random.default_rng(0), [1, 2]
    env, other = task.make(seeds), task.make(seeds)
    try:
        env.reset()
        resets, ended = np.ones(2, np.int64), np.zeros(2, np.bool_)
        taken: list[list[NDArray[Any]]] = [[], []]
        for t in range(2 * _TRIAL_STEPS):
            if t == _TRIAL_STEPS:  # in case no episode has ended by itself
                env.reset()
                resets, ended, taken = resets + 1, np.zeros(2, np.bool_), [[], []]
            actions = task.random_actions(rng, 2)
            observation, _, terminated, truncated, _ = env.step(actions)
            resets += ended
            taken = [[] if ended[i] else [*own, actions[i]] for i, own in enumerate(taken)]
            ended = terminated | truncated
        kept = [np.stack(own) if own else task.actions(0) for own in taken]
        same = bool((other.restore(resets.tolist(), kept) == observation).all())
        for _ in range(_TRIAL_STEPS):
            actions = task.random_actions(rng, 2)
            for one, two in zip(env.step(actions)[:4], other.step(actions)[:4], strict=True):
                same &= np.asarray(one).tobytes() == np.asarray(two).tobytes()
        return same
    finally:
        env.close()
        other.close()


def restored(_task: str, _options: Mapping[str, Any], state: Mapping[str, Tensor]) -> ControlPolicy:
    """The policy with this state; see ``Domain.policy``."""
    from lagbench.policies.categorical import CategoricalPolicy
    from lagbench.policies.gaussian import GaussianPolicy

    kind = GaussianPolicy if "log_std" in state else CategoricalPolicy
    return kind.from_state(state)


class ControlVectorEnv(VectorEnv[NDArray[np.float64], NDArray[Any], NDArray[Any]]):
    """N environments of one task, stepped together: observations [N, obs] float64, actions [N, A], or [N] if discrete.

    Autoreset is ``NEXT_STEP``: the observation of a done step is the episode's true last one; on the next step of that
    environment the action is discarded, the reward is 0 and the observation is the first of the new episode.
    """

    # Not a ClassVar: the base class declares it so.
    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}  # noqa: RUF012

    def __init__(
        self, task: ControlTask, num_envs: int, *, seeds: Sequence[int] | None = None, threads: int = 0
    ) -> None:
        """``seeds`` [N] are used by the first ``reset`` unless it is given others; by default they are random.

        Nothing is simulated before the first ``reset``. Raises UsageError for less than one environment, a number of
        seeds other than N, a seed outside [0, 2**31) or a negative number of threads.
        """
        if num_envs < 1:
            raise UsageError(f"a vector environment needs at least 1 environment, not {num_envs}")
        if threads < 0:
            raise UsageError(f"threads must be 0 (one per core) or more, not {threads}")
        self.task = task
        self.num_envs = num_envs
        self.single_observation_space = task.observation_space
        self.single_action_space = task.action_space
        self.observation_space = batch_space(task.observation_space, num_envs)
        self.action_space = batch_space(task.action_space, num_envs)
        self._threads = threads
        self._seeds = None if seeds is None else _checked_seeds(seeds, num_envs)
        self._taken = task.actions(num_envs)
        space = task.action_space
        self._bounds = None if isinstance(space, Discrete) else (space.low, space.high)

    @property
    def seeds(self) -> list[int] | None:
        """The seed of each environment [N]; None before the first ``reset`` if none were given."""
        return None if self._seeds is None else list(self._seeds)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start a new episode in every environment; returns first observations [N, obs] and the simulator's info.

        A sequence [N] gives each environment its seed; from an int, seeds are derived, so that neighbouring ints share
        none. With seeds the environments are created anew; without, they continue their random streams. Raises
        UsageError for an invalid seed and for any ``options``: there are none.
        """
        if options:
            raise UsageError(f"reset takes no options here, not {sorted(options)}; every environment is reset")
        if self.closed:
            raise ClosedEnvironmentError("this environment is closed; create another")
        if isinstance(seed, (int, np.integer)):
            self._begin(_derived_seeds(int(seed), self.num_envs))
            super().reset(seed=int(seed))  # seeds only np_random, which is not used here
        elif seed is not None:
            self._begin(_checked_seeds(seed, self.num_envs))
        elif not self._begun:
            self._begin(_derived_seeds(None, self.num_envs) if self._seeds is None else self._seeds)
        observation, info = self._reset()
        return _float64(observation), info

    def step(
        self, actions: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every environment with ``actions`` [N, A], cast to float32 and clipped to the bounds; discrete: [N].

        Returns observation [N, obs] float64, reward [N] float32, terminated [N], truncated [N] and the simulator's
        info, all newly allocated. Raises ResetNeeded before the first ``reset`` and ValueError for another shape.
        """
        if not self._begun:
            if self.closed:
                raise ClosedEnvironmentError("this environment is closed; create another")
            raise ResetNeeded("reset the environment before the first step")
        observation, reward, terminated, truncated, info = self._step(self._within(actions, self.num_envs))
        return _float64(observation), reward, terminated, truncated, info

    def restore(self, resets: Sequence[int], actions: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """Recreate the environments from their seeds and bring them to an earlier state.

        Environment i is reset ``resets[i]`` times, including the first, and then steps ``actions[i]`` [t_i, …], those
        of its current episode without the one that its reset discarded. Returns the current observations [N, obs].
        Later steps equal the original's bit for bit. Raises UsageError without seeds, for less than one reset, and for
        lists that are not of length N.
        """
        if self._seeds is None:
            raise UsageError("restore needs the environments' seeds; pass them to make")
        if len(resets) != self.num_envs or len(actions) != self.num_envs:
            raise UsageError(
                f"restore needs {self.num_envs} reset counts and as many action lists, not {len(resets)} and "
                f"{len(actions)}"
            )
        if min(resets) < 1:
            raise UsageError(f"every environment is reset at least once, not {min(resets)} times")
        self._begin(self._seeds)
        return self._restore(resets, actions)

    @property
    @abstractmethod
    def _begun(self) -> bool:
        """Whether the environments exist."""

    @abstractmethod
    def _begin(self, seeds: list[int]) -> None:
        """Create environments with these seeds, which are kept in ``_seeds``, without resetting them."""

    @abstractmethod
    def _reset(self) -> tuple[NDArray[Any], dict[str, Any]]:
        """Start an episode in every environment."""

    @abstractmethod
    def _step(self, actions: NDArray[Any]) -> Any:
        """Step every environment with the result of ``_within``."""

    @abstractmethod
    def _restore(self, resets: Sequence[int], actions: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        """``restore`` in newly created environments."""

    def _within(self, actions: ArrayLike, n: int) -> NDArray[Any]:
        """Actions as all simulators get them, also in replay: float32 and clipped, or int32 if discrete.

        The next call overwrites the result.
        """
        taken = self._taken[:n]
        given = np.asarray(actions, taken.dtype)
        if given.shape != taken.shape:
            raise ValueError(f"actions must have shape {taken.shape}, not {given.shape}")
        if self._bounds is None:
            taken[...] = given
            return taken
        # np.clip takes twice as long on arrays of this size; both pass NaN through.
        np.maximum(given, self._bounds[0], out=taken)
        np.minimum(taken, self._bounds[1], out=taken)
        return taken


def control_spaces(task_id: str, observation: Space[Any], action: Space[Any]) -> tuple[Box, Box | Discrete]:
    """The spaces of a control task for those of an environment.

    Observations: Box, or Dict and Tuple of them, which ``flattened`` turns into vectors. Actions: a Box of real
    vectors, or Discrete. Raises UsageError for unsupported spaces, with the reason.
    """
    parts = list(_parts(observation))
    for part in parts:
        if not (isinstance(part, Box) and np.issubdtype(part.dtype, np.floating)):
            raise UsageError(f"{CANNOT.format(task_id)}{_unfit(part, 'observations')}")
    if isinstance(action, Discrete):
        if action.start != 0:
            raise UsageError(f"{CANNOT.format(task_id)}its actions begin at {action.start}, and not at 0")
        space: Box | Discrete = Discrete(int(action.n))
    elif isinstance(action, Box) and np.issubdtype(action.dtype, np.floating) and len(action.shape) == 1:
        space = _box([action], np.float32)
    else:
        raise UsageError(f"{CANNOT.format(task_id)}{_unfit(action, 'actions')}")
    return _box(cast("list[Box]", parts), np.float64), space


def flattened(space: Space[Any], observation: Any, n: int) -> NDArray[np.float64]:
    """Observations of n environments, batched in the structure of ``space``, as vectors [n, obs].

    The entries of a Dict are in the order of their sorted keys, those of a Tuple in its order, each in C order.
    """
    if isinstance(space, Box):
        return _float64(observation).reshape(n, -1)
    return np.concatenate([flattened(part, observation[key], n) for key, part in _entries(space)], axis=1)


def _entries(space: Space[Any]) -> list[tuple[Any, Space[Any]]]:
    if isinstance(space, Dict):
        return sorted(space.items())
    return list(enumerate(space)) if isinstance(space, Tuple) else []


def _parts(space: Space[Any]) -> list[Space[Any]]:
    """The leaves of a space, in the order of ``flattened``."""
    if isinstance(space, (Dict, Tuple)):
        return [part for _, entry in _entries(space) for part in _parts(entry)]
    return [space]


def _unfit(space: Space[Any], what: str) -> str:
    if isinstance(space, Box):
        kind = f"of shape {space.shape} and type {space.dtype}"
        if what == "observations" and space.dtype == np.uint8:
            return f"its observations are pixels, {kind}, and control has no network for images"
    else:
        kind = type(space).__name__
    takes = "real numbers" if what == "observations" else "one vector of real numbers or one Discrete choice"
    return f"its {what} are {kind}, and control takes {takes}"


def _box(parts: Sequence[Box], dtype: type[np.floating[Any]]) -> Box:
    low, high = zip(*map(_limits, parts), strict=True)
    return Box(np.concatenate(low).astype(dtype), np.concatenate(high).astype(dtype), dtype=dtype)


def _limits(space: Box) -> tuple[NDArray[Any], NDArray[Any]]:
    # For a missing bound EnvPool gives the smallest or largest positive number of the type.
    limits, low, high = np.finfo(cast(Any, space.low.dtype)), space.low.ravel(), space.high.ravel()
    return np.where(low == limits.tiny, -np.inf, low), np.where(high == limits.max, np.inf, high)


def _derived_seeds(seed: int | None, n: int) -> list[int]:
    if seed is not None and seed < 0:
        raise UsageError(f"a seed must be 0 or more, not {seed}")
    words = np.random.SeedSequence(seed).generate_state(n, np.uint32)
    # EnvPool takes int32. From a single seed it would use seed + i for environment i: nearby runs would share streams.
    return cast("list[int]", (words >> 1).tolist())


def _checked_seeds(seeds: Sequence[int], n: int) -> list[int]:
    if len(seeds) != n:
        raise UsageError(f"{n} environments need {n} seeds, not {len(seeds)}")
    checked = [int(s) for s in seeds]
    for s in checked:
        if not 0 <= s < 2**31:
            raise UsageError(f"an environment's seed must be in [0, 2**31), not {s}")
    return checked


def _float64(observation: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(observation, np.float64)
