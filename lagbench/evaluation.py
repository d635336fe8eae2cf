"""Evaluation: when each policy version is evaluated, from which seeds, and how results are summarised."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import sqrt
from typing import Any

import numpy as np

from lagbench.actors.base import Actors, Played
from lagbench.domain import ActionMode
from lagbench.errors import UsageError
from lagbench.policies.base import Version
from lagbench.records.curve import CurvePoint
from lagbench.records.reader import Run
from lagbench.records.rows import EvaluationRecord
from lagbench.registry import load
from lagbench.seeding import evaluation_seeds
from lagbench.settings import own_settings
from lagbench.spec import RunSpec


@own_settings()
def evaluate(run: Run, seeds: Sequence[int], *, mode: ActionMode | None = None, threads: int = 0) -> Sequence[Played]:
    """Evaluate the policy of a finished run, one episode per seed; nothing is written.

    On language each seed selects a question of the test set. On the same kind of machine the same seeds give the same
    episodes, bit for bit; they are played on the CPU, whatever device the run was trained on.

    Args:
        run: the run whose policy and task are used.
        seeds: whole numbers in [0, 2**31), at least one.
        mode: ``stochastic`` samples actions, ``mode`` uses the mean action (language: greedy answers); by default as in
            the run's scored evaluations.
        threads: EnvPool threads, 0 for one per core. They do not affect results.

    Returns:
        Episodes in the order of the seeds; each has ``seed``, ``episode_return``, ``length``, ``terminated``,
            ``truncated``, and its other columns of ``evaluations``: on control ``action``, ``reward`` and
            ``observation``.

    Raises:
        RecordError: the run has no policy, or none that can be read.
        UsageError: there are no seeds, or the task's model or questions are not available.
    """
    if not seeds:
        raise UsageError("evaluation needs at least one seed")
    spec = dataclasses.replace(run.spec, device="cpu")
    version = run.policy().version(spec.phases)
    actors: Actors = load(spec.domain.actors_class)(spec, threads)
    stochastic = (mode or spec.evaluation.measure) == "stochastic"
    return actors.play(version, seeds, stochastic=stochastic, drawn=True)


def evaluate_due(spec: RunSpec, actors: Actors, version: Version, used: Sequence[int]) -> list[EvaluationRecord]:
    """The evaluations that are due at ``version``: none, or one per mode of the plan.

    Fractions of the budget that fall into one phase share one evaluation. ``version.number`` phases are completed;
    ``used`` is the budget used after 0, 1, 2, … phases. Episode j has the same seed in every mode.
    """
    due = spec.evaluations(used)
    if version.number not in due:
        return []
    index = sorted(due).index(version.number)
    return [
        EvaluationRecord(
            index=index,
            fractions=tuple(due[version.number]),
            version=version.number,
            budget_used=used[version.number],
            mode=mode,
            episodes=actors.play(
                version,
                evaluation_seeds(spec.seed, spec.suite_name, index, episodes),
                stochastic=mode == "stochastic",
            ),
        )
        for mode, episodes in spec.evaluation.modes(last=spec.over(used[version.number])).items()
    ]


def summarize(run: Run) -> dict[str, Any]:
    """The final evaluation by mode (mean, standard error, episodes), and the area under the scored curve.

    The area is computed by the trapezoidal rule over fractions of the budget; all values are raw returns. A run that
    did not use its whole budget has neither; scoring handles such runs. For plans of version 0 the standard deviation
    over episodes, with divisor n, replaces the standard error.

    Args:
        run: finished or not.

    Returns:
        ``{"final": {mode: {"mean", "standard_error", "episodes"}}, "area_under_curve"}``, or an empty dictionary.
    """
    final: dict[str, Any] = {}
    for mode in run.spec.evaluation.modes(last=True):
        points = run.curve(mode)
        if points and points[-1].fraction == 1.0:
            final[mode] = {"mean": points[-1].mean, **_spread(run, points[-1]), "episodes": points[-1].episodes}
    if not final:
        return {}
    curve = run.curve()
    area = float(np.trapezoid([point.mean for point in curve], [point.fraction for point in curve]))
    return {"final": final, "area_under_curve": area}


def _spread(run: Run, point: CurvePoint) -> dict[str, float | None]:
    if run.spec.evaluation.mode_episodes is not None:
        return {"standard_error": point.standard_error}
    return {"std": (point.standard_error or 0.0) * sqrt(point.episodes - 1)}
