"""The interface of policies to algorithms and the harness."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from lagbench.rollout import Rollout


class PolicyOutput(NamedTuple):
    """What a policy computes for a batch; each field has the batch's shape S.

    Attributes:
        log_prob: log π(action | observation), nats.
        entropy: of the action distribution, nats.
        value: the critic's value of the observation, in units of scaled reward; None without a critic.
        next_value: its value of the true next observation; None without a critic and on single steps, which have no
            successor.
    """

    log_prob: Tensor
    entropy: Tensor
    value: Tensor | None
    next_value: Tensor | None


@dataclass(frozen=True)
class Version:
    """One policy version: the acting weights after ``number`` phases, as copies."""

    number: int
    state: Mapping[str, Tensor]

    def sha256(self) -> str:
        """SHA-256 of names, types, shapes and bytes of the current tensors."""
        total = hashlib.sha256()
        for name, tensor in sorted(self.state.items()):
            total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return total.hexdigest()


class Policy(nn.Module, ABC):
    """A policy, with its normalizer and, if it has one, its critic.

    Attributes:
        has_critic: whether ``evaluate`` returns values.
        has_normalizer: whether it normalizes observations, with statistics that are part of every version.
    """

    has_critic: ClassVar[bool]
    has_normalizer: ClassVar[bool] = False

    @abstractmethod
    def evaluate(self, batch: Rollout) -> PolicyOutput:
        """Log-probabilities, entropies and values of a batch, differentiable in the weights."""

    @abstractmethod
    def acting_state(self) -> dict[str, Tensor]:
        """Copies of the tensors that acting needs: weights and normalizer, no critic."""

    def conditioning(self, batch: Rollout) -> Tensor:
        """The change of each log-probability per relative error of 1 in the policy's outputs: at least 1, shape S."""
        return torch.ones_like(batch.behaviour_log_prob)

    def version(self, number: int) -> Version:
        """The current policy as version ``number``."""
        return Version(number, self.acting_state())

    def observe(self, rollout: Rollout) -> None:
        """Update the normalizer with a phase's valid observations."""
