"""Actors on control: N environments step together, each with the policy version that it drew."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lagbench.actors.base import Actors, Collection, Episode, PlayedEpisode, Transitions
from lagbench.actors.reward_scale import RewardScale
from lagbench.errors import RecordError
from lagbench.policies.base import Version
from lagbench.policies.control import ControlPolicy
from lagbench.rollout import Rollout
from lagbench.seeding import Stream, environment_seeds, generator, torch_generator
from lagbench.spec import RunSpec
from lagbench.tasks.control import ControlTask
from lagbench.tasks.spec import load_task

# The same for every protocol: version 0 and the first reward scale must not depend on actors or steps per phase.
WARMUP_ACTORS = 64
WARMUP_STEPS = 32


class ControlActors(Actors):
    """The actors of a run on a control task.

    Args:
        spec: the run.
        threads: EnvPool threads (0: EnvPool's choice). They do not affect results.
        part: the indices of the run's actors to create; None: all. Each acts as it would with the others present.
    """

    def __init__(self, spec: RunSpec, threads: int = 0, part: range | None = None) -> None:
        task = load_task(spec.task, spec.task_options)
        assert isinstance(task, ControlTask)
        self._task = task
        self._spec = spec
        self._threads = threads
        self._all = spec.protocol.actors
        self._part = range(self._all) if part is None else part
        self._n = len(self._part)
        self._policy = spec.network()
        self._seeds = environment_seeds(spec.seed, Stream.ENVIRONMENT, self._all)[self._part.start : self._part.stop]
        self._env = task.make(self._seeds.tolist(), threads)
        self._reward_scale = RewardScale(self._n)
        self._factor = self._reward_scale.factor
        self._observation, _ = self._env.reset()
        self._resets = np.ones(self._n, dtype=np.int64)
        self._step = np.zeros(self._n, dtype=np.int64)
        self._return = np.zeros(self._n)
        self._fresh = np.ones(self._n, dtype=np.bool_)
        self._history: list[NDArray[Any]] = []

    def make_policy(self) -> ControlPolicy:
        """See ``Actors.make_policy``: a rollout of random actions, outside the budget, initialises the statistics."""
        seed = self._spec.seed
        policy: ControlPolicy = self._spec.network(torch_generator(seed, Stream.WEIGHTS))
        steps = warm_up(self._task, seed, self._threads)
        valid = steps.valid(np.ones(WARMUP_ACTORS, dtype=np.bool_))
        policy.normalizer.update(torch.from_numpy(steps.observation[:-1][valid]))
        self._reward_scale.start(steps.reward, steps.done, valid)
        return policy

    def act(self, versions: Sequence[Version], phase: int) -> Collection:
        """See ``Actors.act``: the rollout contains raw rewards."""
        length, n = self._spec.protocol.phase_steps, self._n
        steps = _Steps(self._task, length, n)
        steps.observation[0] = self._observation
        acting = self._policy.acting(versions)
        drawn = acting.noise(generator(self._spec.seed, Stream.ACTION, phase), length, self._all)
        noise = acting.spread(drawn[:, self._part.start : self._part.stop])
        output = np.empty((length, n, acting.size), np.float32)
        for t in range(length):
            output[t] = acting.output(steps.observation[t])
            acting.choose(output[t], noise[t], steps.action[t])
            steps.record(t, self._env.step(steps.action[t]))
        valid = steps.valid(self._fresh)
        held = np.array([v.number for v in versions], dtype=np.int64)
        action = torch.from_numpy(steps.action)
        action = action if action.is_floating_point() else action.long()
        chosen = acting.log_prob(action, torch.from_numpy(output))
        transitions, episodes = self._account(steps, valid, held, chosen.numpy(), phase)
        self._advance(steps)
        keep = torch.from_numpy(valid)
        rollout = Rollout(
            observation=torch.from_numpy(steps.observation),
            action=torch.where(keep.view(length, n, *[1] * (action.ndim - 2)), action, 0),
            reward=torch.from_numpy(steps.reward),
            terminated=torch.from_numpy(steps.terminated & valid),
            truncated=torch.from_numpy(steps.truncated & valid),
            valid=keep,
            behaviour_version=torch.from_numpy(held).expand(length, n),
            behaviour_log_prob=torch.where(keep, chosen, 0.0),
        )
        return Collection(rollout, transitions, episodes, length * n)

    def gather(self, shares: Sequence[Collection], versions: NDArray[np.int64], phase: int) -> Collection:
        """See ``Actors.gather``: the rollout contains scaled rewards."""
        collection = _merged(shares) if len(shares) > 1 else shares[0]
        rollout = collection.rollout
        raw, valid = rollout.reward.numpy(), rollout.valid.numpy()
        self._factor = self._reward_scale.factor
        reward = torch.from_numpy(self._reward_scale(raw))
        self._reward_scale.update(raw, (rollout.terminated | rollout.truncated).numpy(), valid)
        return dataclasses.replace(collection, rollout=rollout.replace(reward=reward))

    def _account(
        self,
        steps: _Steps,
        valid: NDArray[np.bool_],
        held: NDArray[np.int64],
        chosen: NDArray[np.float32],
        phase: int,
    ) -> tuple[Transitions, list[Episode]]:
        """Assign episode and step numbers to the rows, and return the episodes that ended."""
        length, n = valid.shape
        first, every = self._part.start, self._all
        done = steps.done & valid
        resets = self._resets + np.cumsum(~valid, axis=0)
        # Steps of each row's episode: those of this phase, plus those carried over if it began earlier.
        taken = np.cumsum(valid, axis=0)
        began = np.maximum.accumulate(np.where(valid, -self._step, taken), axis=0)
        length_so_far: NDArray[np.int64] = taken - began
        returns = np.empty((length, n))
        for t in range(length):
            self._return = np.where(valid[t], self._return + steps.reward[t], 0.0)
            returns[t] = self._return
        self._resets, self._step = resets[-1].copy(), length_so_far[-1].copy()
        episodes = [
            Episode(
                episode_id=int(first + i + every * (resets[t, i] - 1)),
                actor=int(first + i),
                seed=int(self._seeds[i]),
                reset=int(resets[t, i] - 1),
                phase=phase,
                episode_return=float(returns[t, i]),
                length=int(length_so_far[t, i]),
                terminated=bool(steps.terminated[t, i]),
                truncated=bool(steps.truncated[t, i]),
            )
            for t, i in np.argwhere(done)
        ]
        keep = np.flatnonzero(valid)
        actor = np.broadcast_to(np.arange(first, first + n, dtype=np.int32), (length, n))

        def rows(x: NDArray[Any]) -> NDArray[Any]:
            return x.reshape(-1, *x.shape[2:]).take(keep, axis=0)

        columns = {
            "episode_id": rows(actor + every * (resets - 1)),
            "step": rows(length_so_far - 1).astype(np.int32),
            "actor": rows(actor),
            "phase": np.full(len(keep), phase, dtype=np.int32),
            "observation": rows(steps.observation[:-1]),
            "action": rows(steps.action),
            "reward": rows(steps.reward),
            "terminated": rows(steps.terminated),
            "truncated": rows(steps.truncated),
            "behaviour_version": rows(np.broadcast_to(held.astype(np.int32), (length, n))),
            "learner_version": np.full(len(keep), phase, dtype=np.int32),
            "behaviour_log_prob": rows(chosen),
        }
        ends = np.flatnonzero(rows(done))
        return Transitions(columns, ends, steps.observation[1:][done]), episodes

    def _advance(self, steps: _Steps) -> None:
        # Copied: the algorithm may modify its rollout in place.
        self._observation = steps.observation[-1].copy()
        self._fresh = ~steps.done[-1]
        self._history.append(steps.action)
        # Keep only the phases of actions that replaying the longest open episode needs.
        longest = int(self._step.max())
        while len(self._history) > 1 and (len(self._history) - 1) * len(steps.action) >= longest:
            self._history.pop(0)

    def diagnostics(self) -> dict[str, float]:
        """See ``Actors.diagnostics``."""
        return {"reward_scale": self._factor}

    def play(
        self, version: Version, seeds: Sequence[int], *, stochastic: bool = False, drawn: bool = False
    ) -> list[PlayedEpisode]:
        """See ``Actors.play``: environment j plays one episode from ``seeds[j]``; its later steps are discarded.

        With ``stochastic`` the noise comes from the run's stream for ``version``.
        """
        env = self._task.make(list(seeds), self._threads)
        acting = self._policy.acting([version] * len(seeds))
        rng = generator(self._spec.seed, Stream.EVALUATION_ACTION, version.number)
        observation, _ = env.reset()
        rows: list[tuple[NDArray[Any], ...]] = []
        ended = np.zeros(len(seeds), dtype=np.int64)
        flags = np.zeros((2, len(seeds)), dtype=np.bool_)
        while not ended.all():
            chosen = self._task.actions(len(seeds))
            noise = acting.spread(acting.noise(rng, len(seeds))) if stochastic else None
            acting.choose(acting.output(observation), noise, chosen)
            following, reward, terminated, truncated, _ = env.step(chosen)
            rows.append((observation, chosen, reward))
            observation = following
            first = (terminated | truncated) & (ended == 0)
            ended[first] = len(rows)
            flags[:, first] = np.stack([terminated, truncated])[:, first]
        env.close()
        seen, action_rows, rewards = (np.stack(x) for x in zip(*rows, strict=True))
        return [
            PlayedEpisode(
                seed=int(seeds[j]),
                action=action_rows[: ended[j], j],
                reward=rewards[: ended[j], j],
                observation=seen[: ended[j], j],
                terminated=bool(flags[0, j]),
                truncated=bool(flags[1, j]),
            )
            for j in range(len(seeds))
        ]

    def state(self) -> dict[str, Any]:
        """See ``Actors.state``: actions of open episodes, to replay, since the simulator's state cannot be saved."""
        return {
            "reward_scale": self._reward_scale.state(),
            "resets": torch.from_numpy(self._resets.copy()),
            "step": torch.from_numpy(self._step.copy()),
            "return": torch.from_numpy(self._return.copy()),
            "fresh": torch.from_numpy(self._fresh.copy()),
            "history": torch.from_numpy(np.concatenate([self._task.actions(0, self._n), *self._history])),
            "observation": torch.from_numpy(self._observation.copy()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``Actors.restore``; if the task is not reproducible, all episodes start anew.

        Raises RecordError if a reproducible task is in another state after the same resets and actions.
        """
        self._reward_scale.restore(state["reward_scale"])
        self._resets = state["resets"].numpy().copy()
        self._step = state["step"].numpy().copy()
        self._return = state["return"].numpy().copy()
        self._fresh = state["fresh"].numpy().copy()
        history = state["history"].numpy()
        length = self._spec.protocol.phase_steps
        self._history = [history[i : i + length].copy() for i in range(0, len(history), length)]
        self._env.close()
        self._env = self._task.make(self._seeds.tolist(), self._threads)
        if not self._spec.repeats:
            self._begin_anew()
            return
        open_actions = [history[len(history) - self._step[i] :, i] for i in range(self._n)]
        self._observation = self._env.restore(self._resets.tolist(), open_actions)
        moved = np.flatnonzero((self._observation != state["observation"].numpy()).any(axis=1))
        if len(moved):
            raise RecordError(
                f"{self._spec.task} cannot be resumed: of {self._n} environments, {len(moved)} do not return to their "
                f"recorded state after the same resets and actions; start a new run"
            )

    def _begin_anew(self) -> None:
        self._resets += 1
        self._step[:], self._return[:], self._fresh[:] = 0, 0.0, True
        self._history = []
        self._reward_scale.begin_anew()
        self._observation = self._env.restore(self._resets.tolist(), [self._task.actions(0)] * self._n)


class _Steps:
    """Raw rows of a phase from the environment: [T, N], observations [T+1, N, obs]."""

    def __init__(self, task: ControlTask, length: int, n: int) -> None:
        self.observation = np.empty((length + 1, n, *task.observation_space.shape))
        self.action = task.actions(length, n)
        self.reward = np.empty((length, n), dtype=np.float32)
        self.terminated = np.empty((length, n), dtype=np.bool_)
        self.truncated = np.empty((length, n), dtype=np.bool_)

    def record(self, t: int, step: tuple[Any, ...]) -> None:
        """Set row t to the environment's result of the action at t."""
        self.observation[t + 1], self.reward[t], self.terminated[t], self.truncated[t] = step[:4]

    @property
    def done(self) -> NDArray[np.bool_]:
        """Whether an episode ended at each row."""
        return self.terminated | self.truncated

    def valid(self, first: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """False on the row after a done, which is spent on the reset; ``first`` is row 0, from the phase before."""
        return np.concatenate([first[None], ~self.done[:-1]])


def warm_up(task: ControlTask, seed: int, threads: int) -> _Steps:
    """A rollout of uniform random actions [WARMUP_STEPS, WARMUP_ACTORS]; depends only on the task and the seed."""
    env = task.make(environment_seeds(seed, Stream.WARMUP_ENVIRONMENT, WARMUP_ACTORS).tolist(), threads)
    rng = generator(seed, Stream.WARMUP_ACTION)
    steps = _Steps(task, WARMUP_STEPS, WARMUP_ACTORS)
    steps.observation[0], _ = env.reset()
    for t in range(WARMUP_STEPS):
        steps.record(t, env.step(task.random_actions(rng, WARMUP_ACTORS)))
    env.close()
    return steps


def _merged(parts: Sequence[Collection]) -> Collection:
    """The data of all actors, with rows ordered by step and then by actor."""
    rollouts = [part.rollout for part in parts]
    step = np.concatenate([r.valid.numpy().nonzero()[0] for r in rollouts])
    columns = {
        name: np.concatenate([part.transitions.columns[name] for part in parts])
        for name in parts[0].transitions.columns
    }
    order = np.lexsort((columns["actor"], step))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    offsets = np.cumsum([0, *(int(r.valid.sum()) for r in rollouts)])
    ends = place[np.concatenate([part.transitions.ends + o for part, o in zip(parts, offsets[:-1], strict=True)])]
    final = np.concatenate([part.transitions.final_observation for part in parts])
    episodes = [episode for part in parts for episode in part.episodes]
    by_end = np.argsort(ends)
    transitions = Transitions({name: x[order] for name, x in columns.items()}, ends[by_end], final[by_end])
    ended = [episodes[i] for i in by_end]
    return Collection(rollouts[0].join(*rollouts[1:]), transitions, ended, sum(part.spent for part in parts))
