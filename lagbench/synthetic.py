"""Synthetic rollouts of lagbench's domains with every kind of row, without a simulator or pretrained model.

They are deterministic: the same policy and phase give the same rollout.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from torch import Tensor, nn

from lagbench import domain as domains
from lagbench.domain import Domain
from lagbench.policies import categorical, gaussian
from lagbench.policies.base import Policy
from lagbench.policies.categorical import CategoricalPolicy
from lagbench.policies.causal_lm import CausalLMPolicy
from lagbench.policies.control import ControlPolicy
from lagbench.policies.gaussian import GaussianPolicy
from lagbench.protocol import Protocol
from lagbench.rollout import PADDING, Rollout

LAG = 4
_DRIFT = 0.05  # standard deviation of the weights' difference per version of staleness
_AnyPolicy = TypeVar("_AnyPolicy", bound=Policy)


class World(ABC):
    """A synthetic domain: its initial policy, and rollouts by versions up to LAG behind."""

    domain: Domain

    def __init__(self) -> None:
        self._copies: dict[int, Policy] = {}

    @abstractmethod
    def protocol(self, updates: int) -> Protocol:
        """A protocol with this world's sizes: epochs of four minibatches, ``updates`` updates per phase."""

    @abstractmethod
    def policy(self) -> Policy:
        """The initial policy, always the same."""

    @abstractmethod
    def collect(self, policy: Policy, phase: int, lag: int = LAG) -> Rollout:
        """The rollout of a phase by versions phase−lag … phase; version ``phase`` is ``policy`` itself."""

    def older(self, policy: _AnyPolicy, staleness: int, phase: int) -> _AnyPolicy:
        """A policy in place of the version ``staleness`` behind: ``policy`` with noise added to every weight."""
        if staleness not in self._copies:
            self._copies[staleness] = copy.deepcopy(policy)
        older = self._copies[staleness]
        assert isinstance(older, type(policy))
        older.load_state_dict(policy.state_dict())
        rng = torch.Generator().manual_seed(1000 + phase - staleness)
        for weight in older.parameters():
            weight.add_(staleness * _DRIFT * torch.randn(weight.shape, generator=rng))
        return older


class ControlWorld(World):
    """32 steps of 16 actors with terminations, truncations, both at once, and reset rows, some in the first row."""

    domain = domains.CONTROL
    length, actors, observation_size, action_size = 32, 16, 5, 2

    def protocol(self, updates: int) -> Protocol:
        """See ``World.protocol``."""
        return _protocol(updates, self.actors, self.length)

    def policy(self) -> ControlPolicy:
        """See ``World.policy``."""
        rng = torch.Generator().manual_seed(0)
        policy = self._fresh(rng)
        policy.normalizer.update(self._observations(64, rng))
        return policy

    def _fresh(self, rng: torch.Generator) -> ControlPolicy:
        return GaussianPolicy(self.observation_size, self.action_size, rng)

    def _noise(self, rng: torch.Generator) -> Tensor:
        """The noise [T, N, …] that actions are sampled with."""
        return torch.randn(self.length, self.actors, self.action_size, generator=rng)

    def _choose(self, beta: ControlPolicy, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The policy's actions and their log-probabilities."""
        assert isinstance(beta, GaussianPolicy)
        mean = beta.actor(beta.normalizer(observation))
        action = mean + beta.log_std.exp() * noise
        return action, gaussian.log_prob(action, mean, beta.log_std)

    def _observations(self, rows: int, rng: torch.Generator) -> Tensor:
        return 2 * torch.randn(rows, self.observation_size, dtype=torch.float64, generator=rng) + 1

    @torch.no_grad()
    def collect(self, policy: Policy, phase: int, lag: int = LAG) -> Rollout:
        """See ``World.collect``; actor i is i mod (lag + 1) versions behind."""
        assert isinstance(policy, ControlPolicy)
        length, n = self.length, self.actors
        rng = torch.Generator().manual_seed(phase)
        observation = self._observations((length + 1) * n, rng).view(length + 1, n, -1)
        action = self._noise(rng)
        staleness = torch.arange(n) % (lag + 1)
        chosen = torch.empty(length, n)
        for s in range(lag + 1):
            held = staleness == s
            beta = self.older(policy, s, phase)
            action[:, held], chosen[:, held] = self._choose(beta, observation[:-1, held], action[:, held])
        terminated, truncated, valid = self._ends(rng)
        cost = action.square().sum(-1)
        return Rollout(
            observation=observation,
            action=self._recorded(torch.where(valid.unsqueeze(-1), action, 0.0)),
            reward=(torch.randn(length, n, generator=rng) - cost).clamp(-10, 10),
            terminated=terminated,
            truncated=truncated,
            valid=valid,
            behaviour_version=(phase - staleness).expand(length, n),
            behaviour_log_prob=torch.where(valid, chosen, 0.0),
        )

    def _recorded(self, action: Tensor) -> Tensor:
        return action

    def _ends(self, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        terminated, truncated = torch.rand(2, self.length, self.actors, generator=rng) < 0.05
        terminated[3, 0] = truncated[3, 0] = True
        terminated[-1, 1] = truncated[-1, 2] = True
        valid = torch.ones_like(terminated)
        valid[0, 3:6] = False  # their episodes ended at the end of the phase before
        for t in range(self.length):
            if t:
                valid[t] = ~(terminated | truncated)[t - 1]
            terminated[t] &= valid[t]
            truncated[t] &= valid[t]
        return terminated, truncated, valid


class DiscreteWorld(ControlWorld):
    """A ``ControlWorld`` with three discrete actions."""

    choices = 3
    action_size = 1

    def _fresh(self, rng: torch.Generator) -> ControlPolicy:
        return CategoricalPolicy(self.observation_size, self.choices, rng)

    def _noise(self, rng: torch.Generator) -> Tensor:
        return torch.rand(self.length, self.actors, 1, generator=rng)

    def _choose(self, beta: ControlPolicy, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        assert isinstance(beta, CategoricalPolicy)
        logits = beta.actor(beta.normalizer(observation))
        below = noise < logits.softmax(-1).cumsum(-1)
        action = (~below).sum(-1).clamp(max=self.choices - 1)
        return action.unsqueeze(-1).float(), categorical.log_prob(action, logits)

    def _recorded(self, action: Tensor) -> Tensor:
        return action.squeeze(-1).long()


class LanguageWorld(World):
    """4 prompts of different lengths, 8 completions each, some truncated; one version per group; rewards 0 or 1."""

    domain = domains.LANGUAGE
    vocabulary, prompt_length, longest, groups, completions = 16, 6, 12, 4, 8
    end = 0

    def protocol(self, updates: int) -> Protocol:
        """See ``World.protocol``."""
        return _protocol(updates, self.groups, self.completions)

    def policy(self) -> CausalLMPolicy:
        """See ``World.policy``."""
        return CausalLMPolicy(TinyCausalLM(self.vocabulary, self.prompt_length + self.longest))

    @torch.no_grad()
    def collect(self, policy: Policy, phase: int, lag: int = LAG) -> Rollout:
        """See ``World.collect``; group g is min(g, lag) versions behind."""
        assert isinstance(policy, CausalLMPolicy)
        rng = torch.Generator().manual_seed(phase)
        group = torch.arange(self.groups).repeat_interleave(self.completions)
        prompt = torch.randint(1, self.vocabulary, (self.prompt_length, self.groups), generator=rng)
        shortfall = torch.randint(0, self.prompt_length - 1, (self.groups,), generator=rng)
        prompt[torch.arange(self.prompt_length).unsqueeze(1) < shortfall] = PADDING
        prompt = prompt[:, group]
        action, chosen, valid = (
            torch.cat(parts, dim=1)
            for parts in zip(
                *(
                    self._complete(self.older(policy, min(g, lag), phase), prompt[:, group == g], rng)
                    for g in range(self.groups)
                ),
                strict=True,
            )
        )
        last = valid & ~torch.cat([valid[1:], torch.zeros_like(valid[:1])])
        ended = action == self.end
        solved = (action * valid).sum(0) % 2 == 0
        return Rollout(
            observation=prompt,
            action=action,
            reward=(last & solved).float(),
            terminated=last & ended,
            truncated=last & ~ended,
            valid=valid,
            behaviour_version=(phase - group.clamp(max=lag)).expand(valid.shape),
            behaviour_log_prob=chosen,
            group=group,
            longest=self.longest,
            group_size=self.completions,
        )

    def _complete(self, policy: CausalLMPolicy, prompt: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        tokens, alive = prompt.T, torch.ones(prompt.shape[1], dtype=torch.bool)
        mask = tokens != PADDING
        tokens = tokens.masked_fill(~mask, 0)
        rows = []
        for _ in range(self.longest):
            log_p = policy.logits(tokens, mask)[:, -1].float().div(policy.temperature).log_softmax(-1)
            token = torch.multinomial(log_p.exp(), 1, generator=rng).squeeze(1).where(alive, torch.tensor(self.end))
            rows.append((token, log_p.gather(1, token.unsqueeze(1)).squeeze(1).where(alive, torch.tensor(0.0)), alive))
            tokens = torch.cat([tokens, token.unsqueeze(1)], dim=1)
            mask = torch.cat([mask, alive.unsqueeze(1)], dim=1)
            alive = alive & (token != self.end)
        action, chosen, valid = (torch.stack(column) for column in zip(*rows, strict=True))
        return action, chosen, valid


class TinyCausalLM(nn.Module):
    """One attention block over token and position embeddings: the smallest model whose output depends on padding."""

    def __init__(self, vocabulary: int, longest: int, width: int = 16) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.token = nn.Embedding(vocabulary, width)
            self.position = nn.Embedding(longest, width)
            self.attention = nn.Linear(width, 3 * width)
            self.head = nn.Linear(width, vocabulary)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor) -> Tensor:
        """Logits [n, length, vocabulary]."""
        x = self.token(input_ids) + self.position(position_ids)
        query, key, value = self.attention(x).chunk(3, dim=-1)
        length = input_ids.shape[1]
        # A masked token attends to itself: a softmax over an empty set is NaN.
        seen = (attention_mask.bool().unsqueeze(1) | torch.eye(length, dtype=torch.bool)).tril()
        x = x + nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        logits: Tensor = self.head(x.tanh())
        return logits


def with_junk(rollout: Rollout, seed: int = 0) -> Rollout:
    """The rollout with random finite numbers in all recorded fields of invalid rows.

    Observations stay: that of a reset row is the true successor of the row before.
    """
    rng = torch.Generator().manual_seed(seed)
    valid, shape = rollout.valid, rollout.valid.shape

    def put(x: Tensor, junk: Tensor) -> Tensor:
        return torch.where(valid.view(*shape, *[1] * (x.ndim - 2)), x, junk.to(x.dtype))

    action = rollout.action
    discrete = not action.is_floating_point()
    other = torch.randint(0, int(action.max()) + 1, action.shape, generator=rng) if discrete else None
    return rollout.replace(
        action=put(action, 3 * torch.randn(action.shape, generator=rng) if other is None else other),
        reward=put(rollout.reward, 100 * torch.randn(shape, generator=rng)),
        terminated=put(rollout.terminated, torch.rand(shape, generator=rng) < 0.5),
        truncated=put(rollout.truncated, torch.rand(shape, generator=rng) < 0.5),
        behaviour_version=put(rollout.behaviour_version, torch.randint(0, LAG, shape, generator=rng)),
        behaviour_log_prob=put(rollout.behaviour_log_prob, 5 * torch.randn(shape, generator=rng)),
    )


def _protocol(updates: int, actors: int, phase_steps: int) -> Protocol:
    return Protocol(
        lag=LAG,
        lag_mode="uniform",
        updates=updates,
        updates_fixed=False,
        forward="reuse",
        minibatch=actors * phase_steps // 4,
        actors=actors,
        phase_steps=phase_steps,
    )
