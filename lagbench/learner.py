"""The learner: runs an algorithm's updates on a policy within the protocol's limits, for training and ``check``."""

from __future__ import annotations

import copy
import itertools
import math
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch

from lagbench import diagnostics
from lagbench.algorithm import Algorithm
from lagbench.errors import AlgorithmError, DivergedError, UpdateLimitError
from lagbench.phase import Phase
from lagbench.policies.base import Policy, PolicyOutput
from lagbench.protocol import Protocol
from lagbench.rollout import Rollout
from lagbench.seeding import Stream, generator, sequence


@dataclass(frozen=True)
class Divergence:
    """Where a run became non-finite: the phase, the 0-based update in it, and the quantity."""

    phase: int
    update: int
    what: str


class Learner:
    """One algorithm, its policy and its optimizer: a phase is ``begin``, ``update``, ``end_phase``.

    torch's global generator is seeded from the run's seed for the algorithm's constructor and its updates, and restored
    afterwards, so a resume needs no generator state.

    Args:
        algorithm: the class.
        config: the values of all fields of its ``Config``.
        policy: on its device; updated in place.
        protocol: the updates allowed, and how a phase is divided into minibatches.
        seed: the run's seed.
        exact_log_prob: see ``Domain.exact_log_prob``.

    Attributes:
        algorithm: the instance.
        policy: the learner's policy.
        updates_made: optimizer updates made since ``begin``.

    Raises:
        AlgorithmError: the algorithm violates the interface.
    """

    def __init__(
        self,
        algorithm: type[Algorithm],
        config: Mapping[str, Any],
        policy: Policy,
        protocol: Protocol,
        seed: int,
        *,
        exact_log_prob: bool,
    ) -> None:
        self.policy = policy
        self.updates_made = 0
        self._protocol = protocol
        self._seed = seed
        self._exact = exact_log_prob
        self._device = next(policy.parameters()).device
        with self._drawing():
            self.algorithm = algorithm(algorithm.Config(**config), policy).to(self._device)
            optimizer = self.algorithm.make_optimizer()
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise AlgorithmError(f"`make_optimizer` must return a torch.optim.Optimizer, not {optimizer!r}")
        self.algorithm.optimizer = optimizer
        self.cap = protocol.update_cap(self.algorithm.config.updates)
        self.algorithm.optimizer.register_step_pre_hook(self._count)
        self._made = _shapes(self.algorithm)

    def _count(self, *_: object) -> None:
        if self.updates_made >= self.cap:
            raise UpdateLimitError(
                f"the protocol allows {self.cap} optimizer updates per phase, and one more was attempted; take "
                f"minibatches from phase.batches(), which stops in time"
            )
        self.updates_made += 1

    @contextmanager
    def _drawing(self, *key: int) -> Iterator[None]:
        cuda = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(int(sequence(self._seed, Stream.ALGORITHM, *key).generate_state(1)[0]))
            yield

    def begin(self, rollout: Rollout, version: int, progress: float) -> tuple[Rollout, float]:
        """Start the phase of policy version ``version`` at this share of the budget.

        Returns:
            The rollout with the learner's current log-probabilities and values, and the largest mismatch between
            log-probabilities recorded by its own version and its current ones; NaN if its own version recorded none.
            With ``exact_log_prob`` the recorded ones are used; the caller has to check the mismatch.
        """
        self.updates_made = 0
        self.algorithm.progress = progress
        rate = self.algorithm.learning_rate()
        if not isinstance(rate, (Real, torch.Tensor)):
            raise AlgorithmError(f"`learning_rate` must return a number, not {rate!r}")
        for group in self.algorithm.optimizer.param_groups:
            group["lr"] = rate
        self.algorithm._store.begin(rollout, lambda r: self._with_proximal(r, version)[0])
        return self._with_proximal(rollout, version)

    def phase(self, rollout: Rollout, version: int) -> Phase:
        """The argument of the algorithm's ``update``, for the rollout that ``begin`` returned."""
        algorithm = self.algorithm
        return Phase(
            rollout,
            prepare=algorithm.prepare,
            refresh=self._refreshed,
            every=algorithm.config.prepare_every,
            minibatch=algorithm.minibatch,
            minibatches=self._protocol.epoch_updates,
            cap=self.cap,
            standardization=algorithm.config.standardize_minibatch,
            reserved=diagnostics.RESERVED,
            rng=generator(self._seed, Stream.MINIBATCH, version),
        )

    def update(self, rollout: Rollout, version: int) -> tuple[Phase, Divergence | None]:
        """Let the algorithm make its updates on the rollout that ``begin`` returned.

        Returns:
            The phase with its metrics, and where a quantity became non-finite, or None.

        Raises:
            AlgorithmError: the algorithm violates the interface.
        """
        phase = self.phase(rollout, version)
        if not torch.isfinite(rollout.log_prob[rollout.valid]).all():
            return phase, Divergence(version, 0, "the log-probability of the data")
        try:
            with self._drawing(version):
                self.algorithm.update(phase)
        except DivergedError as error:
            return phase, Divergence(version, self.updates_made, error.what)
        for name, weight in self.policy.named_parameters():
            if not torch.isfinite(weight).all():
                return phase, Divergence(version, max(self.updates_made - 1, 0), f"the weight {name}")
        return phase, None

    def end_phase(self, rollout: Rollout, version: int, metrics: Mapping[str, float]) -> None:
        """Pass the diagnostics to the algorithm, then update the policy's normalizer with the phase's observations.

        Raises AlgorithmError if the algorithm holds state that a checkpoint cannot restore.
        """
        with self._drawing(version, 1):
            self.algorithm.end_phase(metrics)
        self._check_resumable()
        self.algorithm._store.end(version)
        self.policy.observe(rollout)

    @torch.no_grad()
    def evaluate(self, rollout: Rollout) -> PolicyOutput:
        """The current policy's output on a rollout, without gradients."""
        return self.policy.evaluate(rollout)

    @torch.no_grad()
    def relative_mismatch(self, rollout: Rollout, version: int) -> float:
        """The largest mismatch on rows of the learner's own ``version``, in units of the rounding error of each row."""
        difference = (self.evaluate(rollout).log_prob - rollout.behaviour_log_prob).abs()
        own = rollout.valid & (rollout.behaviour_version == version)
        return float((difference / self.policy.conditioning(rollout))[own].max())

    @property
    def learning_rate(self) -> float:
        """The learning rate of the optimizer's first parameter group."""
        return float(self.algorithm.optimizer.param_groups[0]["lr"])

    def state(self) -> dict[str, Any]:
        """State for a checkpoint: live tensors, valid until the next update, and numbers. ``stored`` is by phase."""
        return {
            "algorithm": self.algorithm.state_dict(),
            "optimizer": self.algorithm.optimizer.state_dict(),
            "stored": self.algorithm._store.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.algorithm.load_state_dict(state["algorithm"])
        # Copied: the optimizer would update the caller's tensors in place.
        self.algorithm.optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        self.algorithm._store.restore(state["stored"], self._device)

    def _refreshed(self, rollout: Rollout) -> Rollout:
        self.algorithm._store.refresh(lambda r: _with_output(r, self.evaluate(r)))
        return _with_output(rollout, self.evaluate(rollout))

    def _check_resumable(self) -> None:
        now = _shapes(self.algorithm)
        if changed := min((name for name, _ in now.items() ^ self._made.items()), default=None):
            raise AlgorithmError(
                f"self.{changed} was added, removed or reshaped after the algorithm was created, so the run could not "
                f"be resumed; create it in __init__ with its final shape, and {_KEEP}"
            )
        if held := next((name for name, x in vars(self.algorithm).items() if _has_rollouts(x)), None):
            raise AlgorithmError(
                f"self.{held} still holds a rollout at the end of its phase, and checkpoints do not contain it; {_KEEP}"
                ", or release it in end_phase"
            )

    def _with_proximal(self, rollout: Rollout, version: int) -> tuple[Rollout, float]:
        new = self.evaluate(rollout)
        own = rollout.valid & (rollout.behaviour_version == version)
        difference = (new.log_prob - rollout.behaviour_log_prob).abs()[own]
        mismatch = float(difference.max()) if difference.numel() else math.nan
        proximal = new.log_prob
        if self._exact:
            # Batched and flat matrix products differ in the last bits, but w must be exactly 1 here.
            proximal = torch.where(own, rollout.behaviour_log_prob, new.log_prob)
        rollout = _with_output(rollout, new)
        return rollout.replace(proximal_log_prob=proximal, log_prob=proximal), mismatch


def _with_output(rollout: Rollout, new: PolicyOutput) -> Rollout:
    rollout = rollout.replace(log_prob=new.log_prob)
    if new.value is None or new.next_value is None:
        return rollout
    return rollout.replace(value=new.value, next_value=new.next_value)


_KEEP = "keep rollouts of earlier phases with self.store(rollout, phases=…), and read them from self.stored"
_LOOKED_AT = 8
"""How many items of each container are searched."""


def _shapes(algorithm: Algorithm) -> dict[str, torch.Size | None]:
    """The names in the algorithm's state, with the shapes of tensors."""
    return {name: getattr(x, "shape", None) for name, x in algorithm.state_dict().items()}


def _has_rollouts(x: Any) -> bool:
    """Whether ``x`` is a rollout or contains one."""
    inside = x.values() if isinstance(x, Mapping) else x if isinstance(x, (list, tuple, set, deque)) else ()
    return isinstance(x, Rollout) or any(map(_has_rollouts, itertools.islice(inside, _LOOKED_AT)))
