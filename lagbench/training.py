"""The loop: a generator that yields one result a phase and calls nothing outside itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lagbench import diagnostics
from lagbench.actors.base import Actors
from lagbench.errors import MismatchError
from lagbench.evaluation import evaluate_due
from lagbench.lag.policy_buffer import PolicyBuffer
from lagbench.lag.staleness import draw
from lagbench.learner import Divergence, Learner
from lagbench.policies.base import Policy, Version
from lagbench.records.rows import EvaluationRecord, PhaseRecord
from lagbench.registry import load
from lagbench.rollout import Rollout
from lagbench.settings import own_settings
from lagbench.spec import RunSpec

MISMATCH_LIMIT = 1e-4


@dataclass(frozen=True)
class PhaseResult:
    """What a phase gave.

    Attributes:
        record: its rows, as they are recorded.
        rollout: the rollout as collected, with the learner's log-probabilities and values at the start of the phase.
        policy: the learner's, live: valid until the next result is asked for.
        diverged: where the run stopped being finite; then this is the last result.
        last: whether no further result follows.
        state: makes the state that resumes the run after this phase; valid until the next result is asked for.
    """

    record: PhaseRecord
    rollout: Rollout
    policy: Policy
    diverged: Divergence | None
    last: bool
    state: Callable[[], dict[str, Any]]


def train(spec: RunSpec, *, threads: int = 0, state: Mapping[str, Any] | None = None) -> Iterator[PhaseResult]:
    """Run a spec, phase by phase, whatever the caller's settings of torch, which stay as they are.

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
    # Entered for each phase anew: what the caller computes between two of them is by its own settings.
    with own_settings(spec.torch_threads):
        loop = _Loop(spec, threads, state)
    while not loop.over:
        with own_settings(spec.torch_threads):
            result = loop.run_phase(loop.done)
        yield result


class _Loop:
    """The learner, the buffer and the actors of one run."""

    def __init__(self, spec: RunSpec, threads: int, state: Mapping[str, Any] | None) -> None:
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
        self.buffer = PolicyBuffer(spec.protocol.lag)
        self.used = [0]
        self.diverged: Divergence | None = None
        if state is None:
            self.buffer.push(self.learner.policy.version(0))
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
        spec, learner, actors, buffer = self.spec, self.learner, self.actors, self.buffer
        clock = _Clock()
        evaluations = self._evaluated(0) if phase == 0 else []
        clock.lap("evaluating")

        versions, sha256 = draw(spec.protocol, spec.seed, phase), buffer.sha256(phase)
        collection = actors.collect(buffer.acting(versions), phase)
        clock.lap("collecting")

        progress = self.used[-1] / (spec.phases * spec.protocol.samples)
        rollout, mismatch = learner.begin(collection.rollout.to(spec.device), phase, progress)
        self._check_reproduced(rollout, phase, mismatch)
        work, self.diverged = learner.update(rollout, phase)
        final = learner.evaluate(rollout)
        values = {
            **diagnostics.diagnose(work.latest, final, phase),
            **actors.diagnostics(),
            "learning_rate": learner.learning_rate,
            "logprob_mismatch_max": mismatch,
            "normalizer_drift": float("nan"),
        }
        if self.diverged is None:
            learner.end_phase(rollout, phase, values)
            moved = learner.evaluate(rollout) if learner.policy.has_normalizer else final
            values["normalizer_drift"] = diagnostics.drift(rollout, final, moved)
            buffer.push(learner.policy.version(phase + 1))
        self.used.append(self.used[-1] + collection.spent)
        clock.lap("updating")

        if self.diverged is None:
            evaluations += self._evaluated(phase + 1)
        clock.lap("evaluating")

        record = PhaseRecord(
            phase=phase,
            budget_used=self.used[-1],
            versions=versions,
            version_sha256=sha256,
            updates=learner.updates,
            seconds=clock.seconds,
            diagnostics={name: values[name] for name in diagnostics.names(spec.domain)},
            metrics=work.metrics(),
            transitions=collection.transitions,
            episodes=collection.episodes,
            evaluations=evaluations,
        )
        return PhaseResult(record, rollout, learner.policy, self.diverged, self.over, self._state)

    def _evaluated(self, version: int) -> list[EvaluationRecord]:
        """The evaluations that are due at a version, the newest."""
        (one,) = self.buffer.acting([version])
        return evaluate_due(self.spec, self.actors, one, self.used)

    def _check_reproduced(self, rollout: Rollout, phase: int, mismatch: float) -> None:
        """Raise MismatchError where the learner is not the policy that its own version's rows say acted.

        Flat and stacked products round differently, and a policy of large means and small deviations makes much of it:
        a mismatch beyond the limit is an error only if it is one in units of that rounding too.
        """
        if not self.spec.domain.exact_log_prob or not mismatch > MISMATCH_LIMIT:
            return
        if not self.learner.relative_mismatch(rollout, phase) <= MISMATCH_LIMIT:
            raise MismatchError(
                f"phase {phase}: the learner gives actions of its own version a log-probability that differs by "
                f"{mismatch:.2g} from the recorded one, and this is not rounding; the records are not to be trusted"
            )

    def _state(self) -> dict[str, Any]:
        return {
            "phases": self.done,
            "used": self.used,
            "diverged": asdict(self.diverged) if self.diverged else None,
            "learner": self.learner.state(),
            "actors": self.actors.state(),
            "versions": {v.number: dict(v.state) for v in self.buffer},
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self.used = list(state["used"])
        self.diverged = Divergence(**state["diverged"]) if state["diverged"] else None
        self.learner.restore(state["learner"])
        self.actors.restore(state["actors"])
        for number, tensors in sorted(state["versions"].items()):
            self.buffer.push(Version(number, tensors))


class _Clock:
    """Wall seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
