"""The training loop: a generator that yields one result per phase and calls nothing outside itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lagbench import diagnostics
from lagbench.actors.base import Actors
from lagbench.collecting import Collector, Lockstep
from lagbench.errors import MismatchError
from lagbench.evaluation import evaluate_due
from lagbench.learner import Divergence, Learner
from lagbench.policies.base import Policy
from lagbench.records.rows import EvaluationRecord, PhaseRecord
from lagbench.registry import load
from lagbench.rollout import Rollout
from lagbench.settings import own_settings
from lagbench.spec import RunSpec

MISMATCH_LIMIT = 1e-4
_APART = "lagbench.asynchronous.collector:Apart"  # imports Ray, which is optional


@dataclass(frozen=True)
class PhaseResult:
    """The result of a phase.

    Attributes:
        record: the phase's rows, as recorded.
        rollout: the rollout as collected, with the learner's log-probabilities and values at the start of the phase.
        policy: the learner's live policy; valid until the next result is requested.
        diverged: where the run became non-finite; this is then the last result.
        last: whether no further result follows.
        state: returns the state for resuming after this phase; valid until the next result is requested.
    """

    record: PhaseRecord
    rollout: Rollout
    policy: Policy
    diverged: Divergence | None
    last: bool
    state: Callable[[], dict[str, Any]]


def train(
    spec: RunSpec, *, threads: int = 0, state: Mapping[str, Any] | None = None, ray: str | None = None
) -> Generator[PhaseResult, None, None]:
    """Train phase by phase. torch settings of the caller have no effect and are preserved.

    Args:
        spec: what to run.
        threads: EnvPool threads (0: EnvPool's choice). They do not affect results.
        state: of an earlier result of the same spec; training continues after it, bit for bit unless asynchronous.
        ray: address of the Ray cluster for the actors of an asynchronous run; None: this machine.

    Yields:
        One PhaseResult per phase. Evaluations belong to the phase after which they are due; that of version 0 to the
        first phase.

    Raises:
        AlgorithmError: the algorithm violates the interface.
        MismatchError: the learner does not reproduce the recorded log-probabilities of its own version.
        UsageError: Ray is not available for an asynchronous run.
    """
    # Entered anew for each phase, so that the caller's settings hold between phases.
    with own_settings(spec.torch_threads):
        loop = _Loop(spec, threads, state, ray)
    try:
        while not loop.over:
            with own_settings(spec.torch_threads):
                result = loop.run_phase(loop.done)
            yield result
    finally:
        loop.collector.close()


class _Loop:
    """The learner of one run, with its actors and collector."""

    def __init__(self, spec: RunSpec, threads: int, state: Mapping[str, Any] | None, ray: str | None) -> None:
        self.spec = spec
        algorithm = spec.load_algorithm()
        self.actors: Actors = load(spec.domain.actors_class)(spec, threads)
        self.learner = Learner(
            algorithm,
            spec.config,
            self.actors.make_policy().to(spec.device),
            spec.protocol,
            spec.seed,
            exact_log_prob=spec.domain.exact_log_prob,
        )
        self.collector: Collector = (
            load(_APART)(spec, self.actors, threads, ray) if spec.is_asynchronous else Lockstep(spec, self.actors)
        )
        self.used = [0]
        self.diverged: Divergence | None = None
        if state is None:
            self.collector.publish(self.learner.policy.version(0), 0)
        else:
            self._restore(state)

    @property
    def done(self) -> int:
        """Completed phases."""
        return len(self.used) - 1

    @property
    def over(self) -> bool:
        """Whether no further phase follows."""
        return self.diverged is not None or self.spec.over(self.used[-1])

    def run_phase(self, phase: int) -> PhaseResult:
        spec, learner, actors, collector = self.spec, self.learner, self.actors, self.collector
        clock = _Clock()
        evaluations = self._evaluated(0) if phase == 0 else []
        clock.lap("evaluating")

        sha256, collected = collector.sha256(), collector.collect(phase)
        collection = collected.collection
        clock.lap("collecting")

        progress = self.used[-1] / (spec.phases * spec.protocol.samples)
        rollout, mismatch = learner.begin(collection.rollout.to(spec.device), phase, progress)
        self._check_reproduced(rollout, phase, mismatch)
        work, self.diverged = learner.update(rollout, phase)
        trained = work.latest
        final = learner.evaluate(trained)
        values = {
            **diagnostics.diagnose(trained, final, phase),
            **actors.diagnostics(),
            **collected.diagnostics,
            "learning_rate": learner.learning_rate,
            "logprob_mismatch_max": mismatch,
            "normalizer_drift": float("nan"),
        }
        if self.diverged is None:
            learner.end_phase(rollout, phase, values)
            moved = learner.evaluate(trained) if learner.policy.has_normalizer else final
            values["normalizer_drift"] = diagnostics.drift(trained, final, moved)
            collector.publish(learner.policy.version(phase + 1), learner.updates_made)
        self.used.append(self.used[-1] + collection.spent)
        clock.lap("updating")

        if self.diverged is None:
            evaluations += self._evaluated(phase + 1)
        clock.lap("evaluating")

        record = PhaseRecord(
            phase=phase,
            budget_used=self.used[-1],
            versions=collected.versions,
            version_sha256=sha256,
            updates_made=learner.updates_made,
            seconds={**clock.seconds, **collected.seconds},
            diagnostics={name: values[name] for name in diagnostics.names(spec.domain, spec.is_asynchronous)},
            metrics=work.metrics(),
            transitions=collection.transitions,
            episodes=collection.episodes,
            evaluations=evaluations,
        )
        return PhaseResult(record, rollout, learner.policy, self.diverged, self.over, self._state)

    def _evaluated(self, version: int) -> list[EvaluationRecord]:
        """The evaluations that are due at ``version``, which must be the newest."""
        newest = self.collector.newest()
        assert newest.number == version
        return evaluate_due(self.spec, self.actors, newest, self.used)

    def _check_reproduced(self, rollout: Rollout, phase: int, mismatch: float) -> None:
        """Raise MismatchError if the learner does not reproduce the log-probabilities recorded by its own version.

        Flat and batched matrix products round differently, and large means with small standard deviations amplify the
        difference: a mismatch beyond the limit is an error only if it also exceeds it in units of that rounding.
        """
        if not self.spec.domain.exact_log_prob or not mismatch > MISMATCH_LIMIT:
            return
        if not self.learner.relative_mismatch(rollout, phase) <= MISMATCH_LIMIT:
            raise MismatchError(
                f"phase {phase}: the learner's log-probabilities of actions of its own version differ by "
                f"{mismatch:.2g} from the recorded ones, which is more than rounding; do not use these records"
            )

    def _state(self) -> dict[str, Any]:
        learner = self.learner.state()
        return {
            "phases": self.done,
            "used": self.used,
            "diverged": asdict(self.diverged) if self.diverged else None,
            "stored": learner.pop("stored"),
            "learner": learner,
            **self.collector.state(),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.used = list(state["used"])
        self.diverged = Divergence(**state["diverged"]) if state["diverged"] else None
        self.learner.restore({**state["learner"], "stored": state["stored"]})
        self.collector.restore(state)


class _Clock:
    """Wall-clock seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
