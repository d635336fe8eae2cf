"""Control tasks from any Gymnasium environment, stepped together by Gymnasium's vector environments."""

from __future__ import annotations

import functools
import os
import signal
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray

from lagbench.domain import CONTROL
from lagbench.errors import UsageError, unknown
from lagbench.source import functions
from lagbench.source.files import Source
from lagbench.tasks.control import ControlTask, ControlVectorEnv, control_spaces, flattened
from lagbench.tasks.spec import OWN_OPTIONS, TaskSpec, called

VECTORIZATIONS = {"sync": SyncVectorEnv, "async": AsyncVectorEnv}
Environment = gymnasium.Env[Any, Any]


@dataclass(frozen=True)
class Maker:
    """Creates an environment, here or in another process: a function, its source and its options."""

    target: str
    source: Source | None = field(repr=False)
    options: Mapping[str, Any]
    limit: int

    def __call__(self) -> Environment:
        """A new environment whose episodes end at the limit and have their own seeds."""
        made, _ = called(functions.load(self.target, self.source), self.target, self.options)
        assert isinstance(made, gymnasium.Env)
        return Episodes(made if _limit(made) == self.limit else TimeLimit(made, self.limit))


@dataclass(frozen=True)
class Apart:
    """A ``Maker`` for a separate process, which ignores Ctrl-C: the process ``of`` stops it at the end of a phase."""

    maker: Maker
    of: int

    def __call__(self) -> Environment:
        """See ``Maker``."""
        if os.getpid() != self.of:  # Gymnasium also creates one in the process ``of``, for its spaces
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return self.maker()


@dataclass(frozen=True)
class EnvironmentTask(ControlTask):
    """A control task of Gymnasium environments; ``vectorization`` is ``sync``, or ``async`` for one process each."""

    maker: Maker = field(repr=False)
    vectorization: str

    @property
    def identity(self) -> str:
        """See ``ControlTask.identity``."""
        return f"{super().identity} {self.maker.source and self.maker.source.sha256}"

    def make(self, seeds: Sequence[int], threads: int = 0) -> EnvironmentVectorEnv:
        """See ``ControlTask.make``; ``threads`` is not used."""
        return EnvironmentVectorEnv(self, len(seeds), seeds=seeds, threads=threads)


def task_of(target: str, source: Source | None, options: Mapping[str, Any], made: Any) -> TaskSpec:
    """The task of the environments that a function creates; ``made`` is one of them.

    Raises UsageError if ``made`` is not an environment, its spaces are not supported, or it has no time limit.
    """
    if not isinstance(made, gymnasium.Env):
        raise UsageError(
            f"{target} must return a Gymnasium environment, or a TaskSpec as lagbench.tasks.mujoco.task does, and "
            f"returned {made!r}"
        )
    own = {name: options[name] for name in OWN_OPTIONS if name in options}
    vectorization = str(own.get("vectorization", "sync"))
    if vectorization not in VECTORIZATIONS:
        raise unknown("vectorization", vectorization, VECTORIZATIONS)
    limit = _limit(made)
    wanted = own.get("max_episode_steps", limit)
    if wanted is None:
        raise UsageError(
            f"{target} makes an environment without a time limit, so that an episode might never end; give one with "
            "--task-set max_episode_steps=N, or by gymnasium.wrappers.TimeLimit"
        )
    if limit is not None and wanted > limit:
        raise UsageError(f"max_episode_steps must be at most {limit}, where {target} ends its episodes, not {wanted}")
    observation_space, action_space = control_spaces(target, made.observation_space, made.action_space)
    made.close()
    return EnvironmentTask(
        task_id=target,
        domain=CONTROL,
        options=dict(options),
        observation_space=observation_space,
        action_space=action_space,
        max_episode_steps=int(wanted),
        maker=Maker(target, source, dict(options), int(wanted)),
        vectorization=vectorization,
    )


def _limit(environment: Environment) -> int | None:
    """The time limit of Gymnasium's TimeLimit wrapper, the smallest of several; None without one."""
    found = []
    while isinstance(environment, gymnasium.Wrapper):
        if isinstance(environment, TimeLimit):
            found.append(int(environment._max_episode_steps))
        environment = environment.env
    return min(found, default=None)


def episode_seed(seed: int, reset: int) -> int:
    """The seed of an environment's ``reset``: first ``seed`` itself, then numbers derived from it."""
    if not reset:
        return seed
    return int(np.random.SeedSequence([seed, reset]).generate_state(1, np.uint32)[0] >> 1)


class Episodes(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose episodes each have their own seed, determined by (seed, reset).

    An episode can therefore be repeated without those before it. Observations are vectors. The step after an episode's
    end is a reset, as in Gymnasium's vector environments.

    Attributes:
        start: the seed, the number of resets, and the actions of the open episode, to which the next ``reset`` goes;
            None: it starts the next episode.
    """

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self.observation_space, self.action_space = control_spaces("it", env.observation_space, env.action_space)
        self.start: tuple[int, int, NDArray[Any]] | None = None
        self._seed = self._resets = 0
        self._ended = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Start the next episode, or go to ``start``."""
        actions: Any = ()
        if self.start is not None:
            self._seed, self._resets, actions = self.start
            self.start = None
        observation, info = self.env.reset(seed=episode_seed(self._seed, self._resets))
        self._resets += 1
        self._ended = False
        for action in actions:
            observation, _, terminated, truncated, info = self.env.step(self._given(action))
            self._ended = bool(terminated or truncated)
        return self._flat(observation), info

    def step(self, action: Any) -> Any:
        """Step the environment, or reset it if the episode has ended."""
        if self._ended:
            observation, info = self.reset()
            return observation, 0.0, False, False, info
        observation, reward, terminated, truncated, info = self.env.step(self._given(action))
        self._ended = bool(terminated or truncated)
        return self._flat(observation), reward, terminated, truncated, info

    def _given(self, action: Any) -> Any:
        discrete = isinstance(self.action_space, Discrete)
        return int(action) if discrete else np.asarray(action, self.env.action_space.dtype)

    def _flat(self, observation: Any) -> Any:
        return flattened(self.env.observation_space, _batched(observation), 1)[0]


def _batched(observation: Any) -> Any:
    if isinstance(observation, Mapping):
        return {name: _batched(part) for name, part in observation.items()}
    return tuple(map(_batched, observation)) if isinstance(observation, tuple) else np.asarray(observation)[None]


class EnvironmentVectorEnv(ControlVectorEnv):
    """N environments of one task, stepped together by Gymnasium; see ``ControlVectorEnv``."""

    _vector: Any = None

    def __init__(
        self, task: EnvironmentTask, num_envs: int, *, seeds: Sequence[int] | None = None, threads: int = 0
    ) -> None:
        """See ``ControlVectorEnv``."""
        super().__init__(task, num_envs, seeds=seeds, threads=threads)
        maker = Apart(task.maker, os.getpid()) if task.vectorization == "async" else task.maker
        self._make: Callable[[], Any] = functools.partial(VECTORIZATIONS[task.vectorization], [maker] * num_envs)

    def close_extras(self, **kwargs: Any) -> None:
        """Close the environments."""
        if self._vector is not None:
            self._ending()

    @property
    def _begun(self) -> bool:
        return self._vector is not None and not self.closed

    def _begin(self, seeds: list[int]) -> None:
        if self._vector is None:
            self._vector = self._make()
            # Also if the caller does not close it: processes left at exit print tracebacks.
            self._ending = weakref.finalize(self, self._vector.close)
        self._seeds = seeds
        self._start([0] * self.num_envs, [self.task.actions(0)] * self.num_envs)

    def _start(self, resets: Sequence[int], actions: Sequence[NDArray[Any]]) -> None:
        assert self._seeds is not None
        self._vector.set_attr("start", list(zip(self._seeds, resets, actions, strict=True)))

    def _reset(self) -> tuple[NDArray[Any], dict[str, Any]]:
        observation, info = self._vector.reset()
        return observation, info

    def _step(self, actions: NDArray[Any]) -> Any:
        observation, reward, terminated, truncated, info = self._vector.step(actions.copy())
        return observation, reward.astype(np.float32), terminated.copy(), truncated.copy(), info

    def _restore(self, resets: Sequence[int], actions: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        within = [np.stack([*map(self._one, own)]) if len(own) else own for own in actions]
        self._start([int(n) - 1 for n in resets], within)
        return np.asarray(self._reset()[0], np.float64)

    def _one(self, action: NDArray[Any]) -> Any:
        """An action as ``step`` passes it to an environment."""
        return self._within(action[None], 1)[0].copy()
