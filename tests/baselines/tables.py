"""A policy that is a table of log-probabilities, so that a loss's gradient in each of them can be read off."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from lagbench import Algorithm, Policy, PolicyOutput, Rollout

AnyAlgorithm = TypeVar("AnyAlgorithm", bound=Algorithm)


class Table(Policy):
    """Log-probabilities as parameters, whatever the batch; no critic."""

    has_critic: ClassVar[bool] = False

    def __init__(self, log_prob: Tensor) -> None:
        super().__init__()
        self.log_prob = nn.Parameter(log_prob.clone())

    def evaluate(self, batch: Rollout) -> PolicyOutput:
        return PolicyOutput(self.log_prob, torch.zeros_like(self.log_prob), None, None)

    def acting_state(self) -> dict[str, Tensor]:
        return {"log_prob": self.log_prob.detach().clone()}


class CriticTable(Table):
    """With values as parameters too."""

    has_critic: ClassVar[bool] = True

    def __init__(self, log_prob: Tensor, value: Tensor, next_value: Tensor) -> None:
        super().__init__(log_prob)
        self.value = nn.Parameter(value.clone())
        self.next_value = nn.Parameter(next_value.clone())

    def evaluate(self, batch: Rollout) -> PolicyOutput:
        return super().evaluate(batch)._replace(value=self.value, next_value=self.next_value)


def numbers(*x: float) -> Tensor:
    """[B], float64, so that what is worked out by hand holds to many digits."""
    return torch.tensor(x, dtype=torch.float64)


def batch(
    log_beta: Tensor,
    advantage: Tensor,
    log_proximal: Tensor | None = None,
    *,
    valid: Tensor | None = None,
    **fields: Any,
) -> Rollout:
    """A minibatch of steps [B] or, for tensors [T, n], of sequences; the proximal policy is β unless given."""
    shape = log_beta.shape
    steps = log_beta.ndim == 1
    no = torch.zeros(shape, dtype=torch.bool)
    columns = {
        "observation": torch.zeros(*(shape if steps else (shape[0] + 1, shape[1])), 1),
        "action": torch.zeros(*shape, 1),
        "reward": torch.zeros_like(log_beta),
        "terminated": no,
        "truncated": no,
        "behaviour_version": torch.zeros(shape, dtype=torch.int64),
    }
    longest = fields.pop("longest", None)
    return Rollout(
        layout="steps" if steps else "sequences",
        longest=longest,
        valid=~no if valid is None else valid,
        behaviour_log_prob=log_beta,
        proximal_log_prob=log_beta if log_proximal is None else log_proximal,
        log_prob=log_beta if log_proximal is None else log_proximal,
        advantage=advantage,
        **{**columns, **fields},
    )


def make(cls: type[AnyAlgorithm], policy: Policy, **config: Any) -> AnyAlgorithm:
    """An algorithm on a policy."""
    return cls(cls.Config(**config), policy)


def loss_and_gradient(algorithm: Algorithm, data: Rollout) -> tuple[float, Tensor, dict[str, float]]:
    """The loss, its gradient in each log-probability, and the metrics."""
    loss, metrics = algorithm.loss(data)
    table = algorithm.policy
    assert isinstance(table, Table)
    (gradient,) = torch.autograd.grad(loss, [table.log_prob])
    return loss.item(), gradient, {k: float(x) for k, x in metrics.items()}
