"""CleanRL's PPO (``ppo_continuous_action``), ported to Gymnasium 1, for comparison.

The original script does not run with Gymnasium 1. As there: environments run sequentially in this process, each with
observations normalised and clipped at ±10, rewards scaled by the running variance of the discounted return and clipped
at ±10, and clipped actions; two networks of 64 × 64 tanh units, initialized orthogonally; GAE; advantages standardized
over each minibatch; the clipped surrogate and the clipped value loss; the joint gradient norm clipped; Adam. It does
not log, evaluate or save.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import Tensor, nn

GAMMA, LAM, CLIP, EPOCHS = 0.99, 0.95, 0.2, 10


def _environment(task: str) -> gymnasium.Env[Any, Any]:
    env: Any = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make(task))
    env = gymnasium.wrappers.NormalizeObservation(gymnasium.wrappers.ClipAction(env))
    env = gymnasium.wrappers.TransformObservation(env, lambda x: np.clip(x, -10, 10), env.observation_space)
    env = gymnasium.wrappers.NormalizeReward(env, gamma=GAMMA)
    return gymnasium.wrappers.TransformReward(env, lambda r: max(-10.0, min(10.0, float(r))))


def _layer(n_in: int, n_out: int, gain: float = 2**0.5) -> nn.Linear:
    layer = nn.Linear(n_in, n_out)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def _network(n_in: int, n_out: int, gain: float) -> nn.Sequential:
    return nn.Sequential(_layer(n_in, 64), nn.Tanh(), _layer(64, 64), nn.Tanh(), _layer(64, n_out, gain))


class CleanPPO:
    """A training run; ``learn`` advances it by one phase."""

    def __init__(self, task: str, actors: int, steps: int, minibatch: int, learning_rate: float = 3e-4) -> None:
        # Environments are reset in the step in which an episode ends, as before Gymnasium 1.
        self._envs = SyncVectorEnv([lambda: _environment(task)] * actors, autoreset_mode=AutoresetMode.SAME_STEP)
        n_obs = int(np.prod(self._envs.single_observation_space.shape or ()))
        n_act = int(np.prod(self._envs.single_action_space.shape or ()))
        self._actor, self._critic = _network(n_obs, n_act, 0.01), _network(n_obs, 1, 1.0)
        self._log_std = nn.Parameter(torch.zeros(1, n_act))
        self._weights = [*self._actor.parameters(), *self._critic.parameters(), self._log_std]
        self._optimizer = torch.optim.Adam(self._weights, lr=learning_rate, eps=1e-5)
        self._steps, self._minibatch = steps, minibatch
        self._observation = torch.tensor(self._envs.reset(seed=0)[0], dtype=torch.float32)
        self._done = torch.zeros(actors)
        shape = (steps, actors)
        self._rows = {name: torch.zeros(shape) for name in ("log_prob", "reward", "done", "value")}
        self._rows |= {"observation": torch.zeros(*shape, n_obs), "action": torch.zeros(*shape, n_act)}

    def learn(self) -> None:
        """Collect a phase and make its updates."""
        self._collect()
        advantage = self._advantages()
        batch = {k: x.reshape(-1, *x.shape[2:]) for k, x in self._rows.items()}
        batch |= {"advantage": advantage.reshape(-1), "target": (advantage + self._rows["value"]).reshape(-1)}
        index = np.arange(len(batch["advantage"]))
        for _ in range(EPOCHS):
            np.random.shuffle(index)  # noqa: NPY002 - as in CleanRL
            for start in range(0, len(index), self._minibatch):
                rows = index[start : start + self._minibatch]
                self._update({k: x[rows] for k, x in batch.items()})

    def close(self) -> None:
        """Close the environments."""
        self._envs.close()

    def _evaluated(self, observation: Tensor, action: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean = self._actor(observation)
        normal = torch.distributions.Normal(mean, self._log_std.expand_as(mean).exp())
        action = normal.sample() if action is None else action
        return action, normal.log_prob(action).sum(1), normal.entropy().sum(1), self._critic(observation).flatten()

    @torch.no_grad()
    def _collect(self) -> None:
        for t in range(self._steps):
            self._rows["observation"][t], self._rows["done"][t] = self._observation, self._done
            action, log_prob, _, value = self._evaluated(self._observation, None)
            self._rows["action"][t], self._rows["log_prob"][t], self._rows["value"][t] = action, log_prob, value
            observation, reward, terminated, truncated, _ = self._envs.step(action.numpy())
            self._rows["reward"][t] = torch.tensor(reward)
            self._observation = torch.tensor(observation, dtype=torch.float32)
            self._done = torch.tensor(np.logical_or(terminated, truncated), dtype=torch.float32)

    @torch.no_grad()
    def _advantages(self) -> Tensor:
        rows, last = self._rows, torch.zeros_like(self._done)
        advantage = torch.zeros_like(rows["reward"])
        value, done = self._critic(self._observation).flatten(), self._done
        for t in reversed(range(self._steps)):
            delta = rows["reward"][t] + GAMMA * value * (1 - done) - rows["value"][t]
            advantage[t] = last = delta + GAMMA * LAM * (1 - done) * last
            value, done = rows["value"][t], rows["done"][t]
        return advantage

    def _update(self, batch: dict[str, Tensor]) -> None:
        _, log_prob, entropy, value = self._evaluated(batch["observation"], batch["action"])
        log_ratio = log_prob - batch["log_prob"]
        ratio = log_ratio.exp()
        with torch.no_grad():  # CleanRL logs it
            _ = (-log_ratio).mean(), ((ratio - 1) - log_ratio).mean(), ((ratio - 1).abs() > CLIP).float().mean().item()
        advantage = (batch["advantage"] - batch["advantage"].mean()) / (batch["advantage"].std() + 1e-8)
        surrogate = torch.max(-advantage * ratio, -advantage * ratio.clamp(1 - CLIP, 1 + CLIP)).mean()
        near = batch["value"] + (value - batch["value"]).clamp(-CLIP, CLIP)
        errors = torch.max((value - batch["target"]).square(), (near - batch["target"]).square())
        loss = surrogate - 0.0 * entropy.mean() + 0.5 * 0.5 * errors.mean()
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self._weights, 0.5)
        self._optimizer.step()
