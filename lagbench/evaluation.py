"""Evaluation: which policy is played when, from which seeds, and how it is summed up."""

from __future__ import annotations

import hashlib

from lagbench.actors.base import Actors
from lagbench.policies.base import Version
from lagbench.records.rows import EvaluationRecord
from lagbench.seeding import Stream, environment_seeds
from lagbench.spec import RunSpec


def seeds(spec: RunSpec, index: int) -> list[int]:
    """The environment seeds [episodes] of a run's evaluation ``index``, fixed by (suite, run seed, index, episode)."""
    suite = int.from_bytes(hashlib.sha256((spec.suite or "").encode()).digest()[:4], "big")
    return environment_seeds(spec.seed, Stream.EVALUATION, spec.evaluation.episodes, suite, index).tolist()


def evaluate_due(spec: RunSpec, actors: Actors, version: Version) -> list[EvaluationRecord]:
    """The evaluations that fall due when ``version`` is reached: none, the policy's mode, and at the end a sample beside it.

    Fractions of the budget that fall into one phase share one evaluation. ``version.number`` phases are done.
    """
    due = spec.evaluation_phases()
    if version.number not in due:
        return []
    index = sorted(due).index(version.number)
    last = version.number == spec.phases

    def play(stochastic: bool) -> EvaluationRecord:
        return EvaluationRecord(
            index=index,
            fractions=tuple(due[version.number]),
            version=version.number,
            budget_used=version.number * spec.protocol.samples,
            mode="stochastic" if stochastic else "mode",
            episodes=actors.play(version, seeds(spec, index), stochastic=stochastic),
        )

    return [play(False), play(True)] if last else [play(False)]
