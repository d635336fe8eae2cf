"""Actors on EnvPool: N of them step together, each with the policy version that it drew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lagbench.actors.base import Actors, Collection, Episode, PlayedEpisode, Transitions
from lagbench.actors.reward_scale import RewardScale
from lagbench.policies.base import Version
from lagbench.policies.gaussian import GaussianPolicy, StackedActors, log_prob
from lagbench.rollout import Rollout
from lagbench.seeding import Stream, environment_seeds, generator, torch_generator
from lagbench.spec import RunSpec
from lagbench.tasks.mujoco import ControlTask, EnvPoolVectorEnv
from lagbench.tasks.spec import load_task


class ControlActors(Actors):
    """The actors of a run on a continuous-control task.

    Args:
        spec: the run.
        threads: EnvPool's threads; 0 lets EnvPool choose. They change no row.
    """

    def __init__(self, spec: RunSpec, threads: int = 0) -> None:
        task = load_task(spec.task, spec.task_options)
        assert isinstance(task, ControlTask)
        self._task = task
        self._spec = spec
        self._threads = threads
        self._n = spec.protocol.actors
        self._seeds = environment_seeds(spec.seed, Stream.ENVIRONMENT, self._n)
        self._env = task.make(self._seeds.tolist(), threads)
        self._reward_scale = RewardScale(self._n)
        self._phase_data: _Steps | None = None
        self._observation, _ = self._env.reset()
        self._resets = np.ones(self._n, dtype=np.int64)
        self._step = np.zeros(self._n, dtype=np.int64)
        self._return = np.zeros(self._n)
        self._fresh = np.ones(self._n, dtype=np.bool_)
        self._history: list[NDArray[np.float32]] = []

    @property
    def observation_size(self) -> int:
        """Length of an observation."""
        return int(self._task.observation_space.shape[0])

    @property
    def action_size(self) -> int:
        """Length of an action."""
        return int(self._task.action_space.shape[0])

    def make_policy(self) -> GaussianPolicy:
        """See ``Actors.make_policy``: one rollout of uniform random actions, outside the budget, starts the statistics."""
        seed = self._spec.seed
        policy = GaussianPolicy(self.observation_size, self.action_size, torch_generator(seed, Stream.WEIGHTS))
        env = self._task.make(environment_seeds(seed, Stream.WARMUP_ENVIRONMENT, self._n).tolist(), self._threads)
        rng = generator(seed, Stream.WARMUP_ACTION)
        space = self._task.action_space
        observation, _ = env.reset()
        steps = _Steps(self._spec.protocol.phase_steps, self._n, self.observation_size, self.action_size)
        steps.observation[0] = observation
        for t in range(len(steps.reward)):
            action = rng.uniform(space.low, space.high, (self._n, self.action_size)).astype(np.float32)
            steps.record(t, env.step(action))
        env.close()
        valid = steps.valid(np.ones(self._n, dtype=np.bool_))
        policy.normalizer.update(torch.from_numpy(steps.observation[:-1][valid]))
        self._reward_scale.update(steps.reward, steps.done, valid)
        self._reward_scale.forget_returns()
        return policy

    def collect(self, versions: Sequence[Version], phase: int) -> Collection:
        """See ``Actors.collect``."""
        length, n = self._spec.protocol.phase_steps, self._n
        steps = _Steps(length, n, self.observation_size, self.action_size)
        steps.observation[0] = self._observation
        noise = generator(self._spec.seed, Stream.ACTION, phase).standard_normal(
            (length, n, self.action_size), dtype=np.float32
        )
        actors = StackedActors(versions)
        mean = torch.empty(length, n, self.action_size)
        action = torch.from_numpy(steps.action)
        scaled_noise = torch.from_numpy(noise).mul_(actors.std)
        observation = torch.from_numpy(steps.observation)
        for t in range(length):
            mean[t].copy_(actors.mean(observation[t]))
            torch.add(mean[t], scaled_noise[t], out=action[t])
            steps.record(t, self._env.step(steps.action[t]))
        valid = steps.valid(self._fresh)
        held = np.array([v.number for v in versions], dtype=np.int64)
        chosen = log_prob(action, mean, actors.log_std)
        transitions, episodes = self._account(steps, valid, held, chosen.numpy(), phase)
        self._advance(steps)
        keep = torch.from_numpy(valid)
        rollout = Rollout(
            observation=observation,
            action=torch.where(keep.unsqueeze(-1), action, 0.0),
            reward=torch.from_numpy(self._reward_scale(steps.reward)),
            terminated=torch.from_numpy(steps.terminated & valid),
            truncated=torch.from_numpy(steps.truncated & valid),
            valid=keep,
            behaviour_version=torch.from_numpy(held).expand(length, n),
            behaviour_log_prob=torch.where(keep, chosen, 0.0),
        )
        self._phase_data = steps
        self._valid = valid
        return Collection(rollout, transitions, episodes)

    def _account(
        self,
        steps: _Steps,
        valid: NDArray[np.bool_],
        held: NDArray[np.int64],
        chosen: NDArray[np.float32],
        phase: int,
    ) -> tuple[Transitions, list[Episode]]:
        """Number the rows by episode and step, and close the episodes that ended."""
        length, n = valid.shape
        done = steps.done & valid
        step = np.empty((length, n), dtype=np.int32)
        reset = np.empty((length, n), dtype=np.int64)
        episodes: list[Episode] = []
        for t in range(length):
            began = ~valid[t]
            self._resets += began
            self._step[began] = 0
            self._return[began] = 0.0
            step[t] = self._step
            reset[t] = self._resets - 1
            self._step += valid[t]
            self._return += np.where(valid[t], steps.reward[t], 0.0)
            for i in np.flatnonzero(done[t]):
                episodes.append(
                    Episode(
                        episode_id=int(i + n * (self._resets[i] - 1)),
                        actor=int(i),
                        seed=int(self._seeds[i]),
                        reset=int(self._resets[i] - 1),
                        phase=phase,
                        episode_return=float(self._return[i]),
                        length=int(self._step[i]),
                        terminated=bool(steps.terminated[t, i]),
                        truncated=bool(steps.truncated[t, i]),
                    )
                )
        actor = np.broadcast_to(np.arange(n, dtype=np.int32), (length, n))
        rows = int(valid.sum())
        columns = {
            "episode_id": (actor + n * reset)[valid],
            "step": step[valid],
            "actor": actor[valid],
            "phase": np.full(rows, phase, dtype=np.int32),
            "observation": steps.observation[:-1][valid],
            "action": steps.action[valid],
            "reward": steps.reward[valid],
            "terminated": steps.terminated[valid],
            "truncated": steps.truncated[valid],
            "behaviour_version": np.broadcast_to(held.astype(np.int32), (length, n))[valid],
            "learner_version": np.full(rows, phase, dtype=np.int32),
            "behaviour_log_prob": chosen[valid],
        }
        ends = np.flatnonzero(done[valid])
        return Transitions(columns, ends, steps.observation[1:][done]), episodes

    def _advance(self, steps: _Steps) -> None:
        self._observation = steps.observation[-1]
        self._fresh = ~steps.done[-1]
        self._history.append(steps.action)
        # Keep no more phases of actions than the longest open episode needs to be stepped again.
        longest = int(self._step.max())
        while len(self._history) > 1 and (len(self._history) - 1) * len(steps.action) >= longest:
            self._history.pop(0)

    def end_phase(self) -> None:
        """See ``Actors.end_phase``."""
        assert self._phase_data is not None
        self._reward_scale.update(self._phase_data.reward, self._phase_data.done, self._valid)

    def diagnostics(self) -> dict[str, float]:
        """See ``Actors.diagnostics``."""
        return {"reward_scale": self._reward_scale.factor}

    def play(self, version: Version, seeds: Sequence[int], *, stochastic: bool = False) -> list[PlayedEpisode]:
        """See ``Actors.play``: environment j plays one episode from ``seeds[j]`` and then stops counting.

        ``stochastic`` draws its noise from the run's stream for ``version``.
        """
        env: EnvPoolVectorEnv = self._task.make(list(seeds), self._threads)
        actors = StackedActors([version] * len(seeds))
        rng = generator(self._spec.seed, Stream.EVALUATION_ACTION, version.number)
        observation, _ = env.reset()
        rows: list[tuple[NDArray[Any], ...]] = []
        ended = np.zeros(len(seeds), dtype=np.int64)
        flags = np.zeros((2, len(seeds)), dtype=np.bool_)
        while not ended.all():
            action = actors.mean(torch.from_numpy(observation))
            if stochastic:
                noise = rng.standard_normal(tuple(action.shape), dtype=np.float32)
                action = action + actors.std * torch.from_numpy(noise)
            chosen = action.numpy().copy()
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
        """See ``Actors.state``: no simulator state can be saved, so the open episodes' actions are, to be stepped again."""
        return {
            "reward_scale": self._reward_scale.state(),
            "resets": torch.from_numpy(self._resets.copy()),
            "step": torch.from_numpy(self._step.copy()),
            "return": torch.from_numpy(self._return.copy()),
            "fresh": torch.from_numpy(self._fresh.copy()),
            "history": torch.from_numpy(np.concatenate(self._history)),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``Actors.restore``."""
        self._reward_scale.restore(state["reward_scale"])
        self._resets = state["resets"].numpy().copy()
        self._step = state["step"].numpy().copy()
        self._return = state["return"].numpy().copy()
        self._fresh = state["fresh"].numpy().copy()
        history = state["history"].numpy()
        length = self._spec.protocol.phase_steps
        self._history = [history[i : i + length].copy() for i in range(0, len(history), length)]
        open_actions = [history[len(history) - self._step[i] :, i] for i in range(self._n)]
        env = self._task.make(self._seeds.tolist(), self._threads)
        self._observation = env.restore(self._resets.tolist(), open_actions)
        self._env.close()
        self._env = env


class _Steps:
    """Rows of a phase as the environment gave them, before anything is derived: [T, N], observations [T+1, N, obs]."""

    def __init__(self, length: int, n: int, observation_size: int, action_size: int) -> None:
        self.observation = np.empty((length + 1, n, observation_size))
        self.action = np.empty((length, n, action_size), dtype=np.float32)
        self.reward = np.empty((length, n), dtype=np.float32)
        self.terminated = np.empty((length, n), dtype=np.bool_)
        self.truncated = np.empty((length, n), dtype=np.bool_)

    def record(self, t: int, step: tuple[Any, ...]) -> None:
        """Row t: what the environment answered to the action at t."""
        self.observation[t + 1], self.reward[t], self.terminated[t], self.truncated[t] = step[:4]

    @property
    def done(self) -> NDArray[np.bool_]:
        """Whether an episode ended at the row."""
        return self.terminated | self.truncated

    def valid(self, first: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """False on the row after a done, which EnvPool spends on the reset; ``first`` is carried over from before."""
        return np.concatenate([first[None], ~self.done[:-1]])
