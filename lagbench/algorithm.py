"""The base class of algorithms: a loss, and optional methods of the update."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, dataclass_transform

import torch
from torch import Tensor, nn

from lagbench import estimators
from lagbench.config import Range, unsupported
from lagbench.errors import AlgorithmError, DivergedError, UsageError
from lagbench.phase import HARNESS_METRICS, Metrics, Phase
from lagbench.policies.base import Policy, PolicyOutput
from lagbench.policies.flat import whole
from lagbench.rollout import Rollout
from lagbench.store import Store


class Algorithm(nn.Module):
    """An algorithm: one class for control and language. Only ``loss`` is required.

    State that must survive a resume is a parameter, a buffer or a submodule, and rollouts are kept by ``store``. The
    harness sets ``optimizer`` and, before each phase, ``progress``; it owns collection, lag, the cap on updates,
    minibatches, network, normalizer, reward scale, records, evaluation and the budget.

    Attributes:
        minibatch: "steps", the smallest unit that the policy can evaluate (a transition on control, a completion on
            language), or "sequences", whole actors' rows in time order.
        domains: the domains it supports, as a tuple of names; by default both. Runs in other domains are refused.
        presets: defaults of ``Config`` by domain, such as ``{"language": {"learning_rate": 1e-5}}``. A subclass's
            presets are added to those of its base classes.
        config: the hyperparameters of this run.
        policy: the learner.
        optimizer: created by ``make_optimizer``.
        progress: share of the budget used at the start of the phase, in [0, 1).
    """

    @dataclass_transform(frozen_default=True, kw_only_default=True)
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyperparameters. Subclasses become frozen, keyword-only dataclasses automatically.

        Fields are bool, int, float, str or a Literal, or one of these or None. A number's range is declared with its
        type, as in ``clip: Annotated[float, Range(gt=0)] = 0.2``, and applies to user values, presets and the default.
        One set is used for all tasks, lags, updates and seeds; ``Algorithm.presets`` may change defaults by domain.
        Advantages are standardized over each minibatch; with ``group``, on language only, they are divided by the
        standard deviation within the prompt's group instead.
        """

        learning_rate: Annotated[float, Range(ge=0, lt=math.inf)] = 3e-4
        anneal: bool = True
        max_grad_norm: Annotated[float, Range(gt=0)] = 0.5
        gamma: Annotated[float, Range(ge=0, le=1)] = 0.99
        lam: Annotated[float, Range(ge=0, le=1)] = 0.95
        value_coef: Annotated[float, Range(ge=0, lt=math.inf)] = 0.5
        entropy_coef: Annotated[float, Range(ge=0, lt=math.inf)] = 0.0
        standardize: Literal["full", "scale", "none", "group"] = "full"
        prepare_every: Literal["phase", "epoch"] = "phase"
        updates: Annotated[int | None, Range(ge=1)] = None

        @property
        def standardize_minibatch(self) -> Literal["full", "scale", "none"]:
            """How the advantages of a minibatch are standardized."""
            return "none" if self.standardize == "group" else self.standardize

        def __init_subclass__(cls) -> None:
            super().__init_subclass__()
            for name in inspect.get_annotations(cls):
                default = vars(cls).get(name)
                default = default.default if isinstance(default, dataclasses.Field) else default
                # Mutable defaults: a dataclass would refuse them with a message of its own.
                if type(default).__hash__ is None:
                    raise unsupported(name, type(default))
            dataclasses.dataclass(frozen=True, kw_only=True)(cls)

    @classmethod
    def preset(cls, domain: str) -> dict[str, Any]:
        """The defaults of ``Config`` in a domain: the class's ``presets`` override those of its base classes."""
        found: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            found |= vars(base).get("presets", {}).get(domain, {})
        return found

    minibatch: ClassVar[Literal["steps", "sequences"]] = "steps"
    domains: ClassVar[tuple[str, ...]] = ("control", "language")
    # Group-relative advantages are centred; a common scale would make a sample's weight depend on its minibatch.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"language": {"learning_rate": 1e-4, "standardize": "none"}}

    config: Config
    policy: Policy
    optimizer: torch.optim.Optimizer
    progress: float

    def __init__(self, config: Config, policy: Policy) -> None:
        super().__init__()
        self.config = config
        self.policy = policy
        self.progress = 0.0
        self._store = Store()
        # Listed once: traversing the policy's modules at each update takes as long as clipping the gradient.
        self._weights = list(policy.parameters())
        if config.standardize == "group" and policy.has_critic:
            raise UsageError(
                "standardize=group needs groups of completions, which only language has; use full, scale or none"
            )

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        """The scalar to minimise on a minibatch, and scalars to log. Called once per update."""
        raise AlgorithmError(f"{type(self).__name__} has no `loss`; write loss(self, batch) -> (scalar, metrics)")

    def prepare(self, rollout: Rollout) -> Rollout:
        """Set ``advantage`` and ``value_target`` of a phase (once, or once per epoch: ``Config.prepare_every``)."""
        return self.estimate(rollout)

    @property
    def stored(self) -> tuple[Rollout, ...]:
        """The rollouts of earlier phases that ``store`` kept, oldest first.

        Each has the fields of the rollout that ``prepare`` receives: those collected, with rewards as scaled at the
        time, and ``proximal_log_prob``, ``log_prob``, ``value`` and ``next_value`` of the current learner.
        """
        return self._store.rollouts

    def store(self, rollout: Rollout, *, phases: int) -> None:
        """Keep this phase's rollout: it is in ``stored`` from the next phase on, and in checkpoints.

        The newest ``phases`` rollouts are kept in memory, with their collected fields and ``extra``. A second call in
        the same phase replaces the first. Raises AlgorithmError for a part of a rollout, and for several joined ones.
        """
        self._store.put(rollout, phases)

    @torch.no_grad()
    def estimate(
        self, rollout: Rollout, log_ratio: Tensor | None = None, rho_bar: float = 1.0, c_bar: float = 1.0
    ) -> Rollout:
        """Advantages and value targets of whole sequences, from ``value`` and ``next_value``.

        With a critic: V-trace if ``log_ratio`` (of the evaluated policy to the behaviour policy, shape S) is given,
        with advantage q − V; otherwise GAE(λ). Without a critic: the completion's reward relative to its prompt group,
        independent of ``log_ratio``; computed on the phase, where groups are complete, and kept on its minibatches. On
        a minibatch the advantage is standardized by ``Config.standardize``, as the harness does otherwise. Raises
        AlgorithmError for single steps, which have no successors.
        """
        if not self.policy.has_critic:
            if rollout.has("advantage"):
                return rollout
            outcome = torch.where(rollout.valid, rollout.reward, 0.0).sum(0)
            relative = estimators.group_relative(outcome, rollout.group, scale=self.config.standardize == "group")
            return rollout.replace(advantage=relative.expand_as(rollout.reward))
        if rollout.layout == "steps":
            raise AlgorithmError(
                "`estimate` needs rows in time order: call it in `prepare`, or set the class "
                'attribute minibatch = "sequences"'
            )
        args = (
            rollout.reward,
            rollout.value,
            rollout.next_value,
            rollout.terminated,
            rollout.truncated,
            self.config.gamma,
            self.config.lam,
        )
        if log_ratio is None:
            advantage = estimators.gae(*args)
            value_target = advantage + rollout.value
        else:
            trace = estimators.vtrace(*args, log_ratio, rho_bar, c_bar)
            advantage, value_target = trace.q - rollout.value, trace.value_target
        if rollout.layout != "phase":
            mode = self.config.standardize_minibatch
            advantage = estimators.standardize(advantage, rollout.valid, mode=mode)
        return rollout.replace(advantage=advantage, value_target=value_target)

    def auxiliary_loss(self, new: PolicyOutput, batch: Rollout) -> Tensor:
        """value_coef·mean((V − target)²) − entropy_coef·entropy; the value term only with a critic."""
        terms = []
        if new.value is not None:
            terms.append(self.config.value_coef * batch.mean((new.value - batch.value_target).square()))
        if self.config.entropy_coef:
            terms.append(-self.config.entropy_coef * batch.objective(new.entropy))
        return sum(terms[1:], terms[0]) if terms else torch.zeros((), device=new.log_prob.device)

    def make_optimizer(self) -> torch.optim.Optimizer:
        """Adam over the policy's parameters."""
        return torch.optim.Adam(self.policy.parameters(), lr=self.config.learning_rate, eps=1e-5, fused=True)

    def learning_rate(self) -> float:
        """The learning rate of the coming phase: ``Config.learning_rate``, decayed linearly to 0 with ``anneal``."""
        return self.config.learning_rate * ((1.0 - self.progress) if self.config.anneal else 1.0)

    def step(self, loss: Tensor, metrics: Metrics) -> Metrics:
        """Make one optimizer update; returns the metrics with ``loss`` and ``gradient_norm`` added.

        Raises DivergedError if loss or gradient is not finite, AlgorithmError for a loss without a gradient.
        """
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise AlgorithmError("`loss` must return one number: reduce it with batch.objective(…)")
        if not loss.requires_grad:
            raise AlgorithmError(
                "the loss has no gradient: compute it from self.policy.evaluate(batch) without detaching"
            )
        if not math.isfinite(loss.item()):
            raise DivergedError("the loss")
        if taken := HARNESS_METRICS & metrics.keys():
            raise AlgorithmError(f"the metric name {min(taken)!r} is reserved by the harness; choose another")
        # Equivalent to zero_grad, which takes eight times as long.
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                p.grad = None
        loss.backward()
        norm = clip_gradient_norm(self._weights, self.config.max_grad_norm)
        # The norm of finite gradients may overflow: clipping then makes the step 0, and the run continues.
        if not math.isfinite(norm.item()) and not self._finite_gradients():
            raise DivergedError("the gradient")
        self.optimizer.step()
        return {**metrics, "loss": loss.detach(), "gradient_norm": norm}

    def _finite_gradients(self) -> bool:
        gradients = [p.grad for p in self._weights if p.grad is not None]
        return all(bool(torch.isfinite(g).all()) for g in gradients)

    def update(self, phase: Phase) -> None:
        """Make a phase's updates: a loss and a step for each minibatch."""
        for batch in phase.batches():
            result = self.loss(batch)
            if not (isinstance(result, tuple) and len(result) == 2):
                raise AlgorithmError("`loss` must return (scalar, metrics); metrics may be an empty dictionary")
            phase.record(self.step(*result))

    def end_phase(self, metrics: Mapping[str, float]) -> None:
        """Called after a phase's last update with the harness's diagnostics (``tv``, ``kl``, …) of the rollout."""


def clip_gradient_norm(parameters: Sequence[nn.Parameter], most: float) -> Tensor:
    """Scale all gradients to a total norm of at most ``most``, as ``clip_grad_norm_``; return the norm before clipping.

    Gradients that are contiguous views of one vector, as ``policies/fused.py`` leaves them, are scaled at once.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    gradient = whole(gradients) if gradients else None
    if gradient is None:
        return nn.utils.clip_grad_norm_(parameters, most)
    norm: Tensor = torch.linalg.vector_norm(gradient)
    scale = most / (norm.item() + 1e-6)
    if not scale >= 1:  # or NaN
        gradient.mul_(scale)
    return norm
