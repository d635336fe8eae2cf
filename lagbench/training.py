"""The loop: a generator that yields one result a phase and calls nothing outside itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from lagbench import diagnostics
from lagbench.actors.base import Actors, Collection
from lagbench.algorithm import Algorithm
from lagbench.errors import DivergedError, MismatchError, UpdateLimitError
from lagbench.evaluation import evaluate_due
from lagbench.lag.policy_buffer import PolicyBuffer
from lagbench.lag.staleness import draw
from lagbench.phase import HARNESS_METRICS, Phase
from lagbench.policies.base import Evaluation, Policy, Version
from lagbench.records.rows import EvaluationRecord, PhaseRecord
from lagbench.registry import load
from lagbench.rollout import Rollout
from lagbench.seeding import Stream, generator
from lagbench.spec import RunSpec

MISMATCH_LIMIT = 1e-4
_RESERVED = frozenset(diagnostics.NAMES) | HARNESS_METRICS


@dataclass(frozen=True)
class Divergence:
    """Where a run stopped being finite."""

    phase: int
    update: int
    what: str


@dataclass(frozen=True)
class PhaseResult:
    """What a phase gave.

    Attributes:
        record: its rows, as they are recorded.
        rollout: the rollout as collected, with the learner's log-probabilities and values at the start of the phase.
        policy: the learner, live: valid until the next result is asked for.
        diverged: where the run stopped being finite; then this is the last result.
        last: whether no further result follows.
        seconds: wall time of collecting, updating, evaluating.
        state: makes the state that resumes the run after this phase; valid until the next result is asked for.
    """

    record: PhaseRecord
    rollout: Rollout
    policy: Policy
    diverged: Divergence | None
    last: bool
    seconds: Mapping[str, float]
    state: Callable[[], dict[str, Any]]


def train(spec: RunSpec, *, threads: int = 0, state: Mapping[str, Any] | None = None) -> Iterator[PhaseResult]:
    """Run a spec, phase by phase.

    Args:
        spec: what to run.
        threads: EnvPool's threads (0: EnvPool's choice); they change no row.
        state: of an earlier result of the same spec; the run goes on after it, bit for bit.

    Yields:
        One PhaseResult a phase. Evaluations belong to the phase that makes them due; the one of version 0 to the first.

    Raises:
        AlgorithmError: the algorithm breaks its contract.
        MismatchError: the learner does not reproduce the log-probabilities that its own version recorded.
    """
    torch.set_num_threads(spec.torch_threads)
    loop = _Loop(spec, threads, state)
    while loop.done < spec.phases and loop.diverged is None:
        yield loop.run_phase(loop.done)


class _Loop:
    """The learner, the buffer and the actors of one run."""

    def __init__(self, spec: RunSpec, threads: int, state: Mapping[str, Any] | None) -> None:
        self.spec = spec
        cls = spec.load_algorithm()
        self.actors: Actors = load(spec.domain.actors_class)(spec, threads)
        self.policy = self.actors.make_policy().to(spec.device)
        self.algorithm: Algorithm = cls(cls.Config(**spec.config), self.policy).to(spec.device)
        self.algorithm.optimizer = self.algorithm.make_optimizer()
        self.buffer = PolicyBuffer(spec.protocol.lag)
        self._count_updates()
        self.done = 0
        self.diverged: Divergence | None = None
        if state is None:
            self.buffer.push(self.policy.version(0))
        else:
            self._restore(state)

    def _count_updates(self) -> None:
        self.updates = 0
        self.cap = 0

        def count(*_: object) -> None:
            if self.updates == self.cap:
                raise UpdateLimitError(f"the protocol allows {self.cap} optimizer updates a phase; one more was asked for")
            self.updates += 1

        self.algorithm.optimizer.register_step_pre_hook(count)

    def run_phase(self, phase: int) -> PhaseResult:
        spec, protocol = self.spec, self.spec.protocol
        clock = _Clock()
        evaluations = evaluate_due(spec, self.actors, self.buffer[0]) if phase == 0 else []
        clock.lap("evaluate")

        versions = draw(protocol, spec.seed, phase)
        collection = self.actors.collect([self.buffer[int(k)] for k in versions], phase)
        clock.lap("collect")

        rollout, mismatch = _with_proximal(
            collection.rollout.to(spec.device), self.policy, phase, spec.domain.exact_log_prob
        )
        self._set_progress(phase)
        work = self._phase(rollout, phase)
        self.diverged = diverged = self._update(work, phase)
        final = _evaluate(self.policy, rollout)
        values = {
            **diagnostics.diagnose(work.rollout, final, phase),
            **self.actors.diagnostics(),
            "learning_rate": self.algorithm.optimizer.param_groups[0]["lr"],
            "logprob_mismatch_max": mismatch,
        }
        if diverged is None:
            self.algorithm.end_phase(values)
            self.policy.observe(rollout)
            self.actors.end_phase()
            values["normalizer_drift"] = diagnostics.drift(rollout, final, _evaluate(self.policy, rollout))
            self.buffer.push(self.policy.version(phase + 1))
        else:
            values["normalizer_drift"] = float("nan")
        self.done = phase + 1
        clock.lap("update")

        if diverged is None:
            evaluations += evaluate_due(spec, self.actors, self.buffer[phase + 1])
        clock.lap("evaluate")
        record = self._record(phase, versions, collection, work, values, evaluations)
        last = diverged is not None or self.done == spec.phases
        return PhaseResult(record, rollout, self.policy, diverged, last, clock.seconds, self._state)

    def _set_progress(self, phase: int) -> None:
        self.algorithm.progress = phase / self.spec.phases
        for group in self.algorithm.optimizer.param_groups:
            group["lr"] = self.algorithm.learning_rate()

    def _phase(self, rollout: Rollout, phase: int) -> Phase:
        config, protocol = self.algorithm.config, self.spec.protocol
        self.updates, self.cap = 0, protocol.update_cap(config.updates)
        return Phase(
            rollout,
            prepare=self.algorithm.prepare,
            refresh=lambda r: _with_learner(r, _evaluate(self.policy, r)),
            every=config.prepare_every,
            minibatch=self.algorithm.minibatch,
            minibatches=protocol.epoch_updates,
            cap=self.cap,
            standardization=config.standardize,
            reserved=_RESERVED,
            rng=generator(self.spec.seed, Stream.MINIBATCH, phase),
        )

    def _update(self, work: Phase, phase: int) -> Divergence | None:
        try:
            self.algorithm.update(work)
        except DivergedError as error:
            return Divergence(phase, self.updates, error.what)
        for name, weight in self.policy.named_parameters():
            if not torch.isfinite(weight).all():
                return Divergence(phase, self.updates, f"the weight {name}")
        return None

    def _record(
        self,
        phase: int,
        versions: Any,
        collection: Collection,
        work: Phase,
        values: Mapping[str, float],
        evaluations: list[EvaluationRecord],
    ) -> PhaseRecord:
        return PhaseRecord(
            phase=phase,
            budget_used=(phase + 1) * self.spec.protocol.samples,
            versions=versions,
            updates=self.updates,
            diagnostics={name: values[name] for name in diagnostics.NAMES},
            metrics=work.metrics(),
            transitions=collection.transitions,
            episodes=collection.episodes,
            evaluations=evaluations,
        )

    def _state(self) -> dict[str, Any]:
        return {
            "phases": self.done,
            "diverged": asdict(self.diverged) if self.diverged else None,
            "algorithm": self.algorithm.state_dict(),
            "optimizer": self.algorithm.optimizer.state_dict(),
            "actors": self.actors.state(),
            "versions": {v.number: dict(v.state) for v in self.buffer},
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.done = state["phases"]
        self.diverged = Divergence(**state["diverged"]) if state["diverged"] else None
        self.algorithm.load_state_dict(state["algorithm"])
        self.algorithm.optimizer.load_state_dict(state["optimizer"])
        self.actors.restore(state["actors"])
        for number, tensors in sorted(state["versions"].items()):
            self.buffer.push(Version(number, tensors))


def _evaluate(policy: Policy, rollout: Rollout) -> Evaluation:
    with torch.no_grad():
        return policy.evaluate(rollout)


def _with_learner(rollout: Rollout, new: Evaluation) -> Rollout:
    fields: dict[str, Tensor] = {"log_prob": new.log_prob}
    if new.value is not None and new.next_value is not None:
        fields |= {"value": new.value, "next_value": new.next_value}
    return rollout.replace(**fields)


def _with_proximal(rollout: Rollout, policy: Policy, version: int, exact: bool) -> tuple[Rollout, float]:
    """The rollout as the learner sees it at the start of a phase, and the largest log-probability mismatch on its own rows.

    Raises MismatchError where the learner should reproduce what its own version recorded, and does not.
    """
    new = _evaluate(policy, rollout)
    own = rollout.valid & (rollout.behaviour_version == version)
    difference = (new.log_prob - rollout.behaviour_log_prob).abs()[own]
    mismatch = float(difference.max()) if difference.numel() else 0.0
    proximal = new.log_prob
    if exact:
        if not mismatch <= MISMATCH_LIMIT:
            raise MismatchError(
                f"phase {version}: the learner gives actions of its own version a log-probability that differs by "
                f"{mismatch:.2g} from the recorded one (at most {MISMATCH_LIMIT} is rounding); the records are not to be trusted"
            )
        # Stacked and flat products differ in the last bits: equality would be luck, and w must be exactly 1 here.
        proximal = torch.where(own, rollout.behaviour_log_prob, new.log_prob)
    rollout = _with_learner(rollout, new).replace(proximal_log_prob=proximal)
    return rollout.replace(log_prob=proximal), mismatch


class _Clock:
    """Wall seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
