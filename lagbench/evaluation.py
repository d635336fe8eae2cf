"""Evaluation: which policy is played when, from which seeds, and how it is summed up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from lagbench.actors.base import Actors, Played
from lagbench.errors import UsageError
from lagbench.policies.base import Version
from lagbench.records.reader import Run
from lagbench.records.rows import EvaluationRecord
from lagbench.registry import load
from lagbench.seeding import evaluation_seeds
from lagbench.settings import own_settings
from lagbench.spec import RunSpec


def seeds(spec: RunSpec, index: int) -> list[int]:
    """The environment seeds [episodes] of a run's evaluation ``index``, fixed by (suite, run seed, index, episode)."""
    return evaluation_seeds(spec.seed, spec.suite_name, index, spec.evaluation.episodes)


@own_settings()
def evaluate(run: Run, seeds: Sequence[int], *, threads: int = 0) -> Sequence[Played]:
    """Play the policy of a finished run by its mode, an episode a seed, as an evaluation does; nothing is written.

    On language each seed draws a question of the test set. On the same kind of machine the same seeds give the same
    episodes, bit for bit; they are played on the CPU, whatever the run was trained on.

    Args:
        run: whose policy, and whose task.
        seeds: whole numbers in [0, 2**31), at least one.
        threads: EnvPool's; 0 for one a core. They change no episode.

    Returns: episodes in the order of the seeds; each has ``seed``, ``episode_return``, ``length``, ``terminated``,
        ``truncated``, and what ``evaluations`` has of one: on control ``action``, ``reward`` and ``observation``.

    Raises:
        RecordError: the run has no policy, or none that can be read.
        UsageError: there are no seeds, or the task's model or questions cannot be had here.
    """
    if not seeds:
        raise UsageError("there is nothing to play without a seed; give at least one")
    spec = dataclasses.replace(run.spec, device="cpu")
    version = run.policy().version(spec.phases)
    actors: Actors = load(spec.domain.actors_class)(spec, threads)
    return actors.play(version, seeds, drawn=True)


def evaluate_due(spec: RunSpec, actors: Actors, version: Version) -> list[EvaluationRecord]:
    """The evaluations that fall due when ``version`` is reached: none, or the policy's mode, at the end a sample too.

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


def summarize(run: Run) -> dict[str, Any]:
    """The final evaluation by mode (mean, standard deviation over episodes, episodes) and the area under the curve.

    The area is the trapezoid over the fractions of the budget; both are of raw returns. A run that did not reach the
    end of its budget has neither: what stands in for them is a matter of scoring.
    """
    final: dict[str, Any] = {}
    rows = run.evaluations.to_table(columns=["fractions", "mode", "return"]).to_pylist()
    for mode in ("mode", "stochastic"):
        returns = [r["return"] for r in rows if r["mode"] == mode and 1.0 in r["fractions"]]
        if returns:
            final[mode] = {"mean": float(np.mean(returns)), "std": float(np.std(returns)), "episodes": len(returns)}
    if not final:
        return {}
    fractions, means = zip(*[(f, m) for f, m, _ in run.curve()], strict=True)
    return {"final": final, "area_under_curve": float(np.trapezoid(means, fractions))}
