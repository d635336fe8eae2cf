"""Results of scoring, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lagbench.domain import ActionMode
from lagbench.protocol import ForwardMode
from lagbench.scoring.power import Power, sentence
from lagbench.spec import SuiteVersion
from lagbench.suites import Axis

_FORMAT_VERSION = 1
Kind = Literal["score", "accuracy", "return"]
"""The kind of score; ``return`` if returns are not normalised."""


@dataclass(frozen=True)
class IntervalEstimate:
    """A number and its 95% interval.

    Attributes:
        value: the number.
        low: the lower bound; None with a single run.
        high: the upper bound; None with a single run.
    """

    value: float
    low: float | None
    high: float | None

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low is not None and self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.high is not None and self.high < 0


@dataclass(frozen=True)
class Mean:
    """A mean over seeds.

    Attributes:
        value: the mean.
        error: its standard error; None from a single seed.
    """

    value: float
    error: float | None


@dataclass(frozen=True)
class Tolerance:
    """The smallest value of the axis at which IQM falls below 0.9 of the anchor's.

    Attributes:
        value: the number.
        low: lower bound of its 95% interval.
        high: upper bound.
        largest: the axis's largest value; a number equal to it is censored: IQM never falls below.
    """

    value: float
    low: float | None
    high: float | None
    largest: float

    @property
    def censored(self) -> bool:
        """Whether IQM never falls below."""
        return self.value >= self.largest


@dataclass(frozen=True)
class Aggregates:
    """Aggregates of scores, runs × tasks, over all tasks of the grid.

    Attributes:
        iqm: interquartile mean.
        median: median of the tasks' means.
        mean: mean of the tasks' means.
        optimality_gap: mean shortfall from a score of 1.
    """

    iqm: IntervalEstimate
    median: IntervalEstimate
    mean: IntervalEstimate
    optimality_gap: IntervalEstimate


@dataclass(frozen=True)
class TaskScore:
    """Mean scores of one entry on one task at one value of the axis; returns if not normalised.

    All are None without runs; in version 0 also if a run diverged and its value is unknown.

    Attributes:
        task: task id.
        seeds: seeds of the finished runs.
        diverged: number of diverged runs.
        returned: mean return of the last evaluations.
        mode_returned: the same with the mean action or greedy answers; None in version 0.
        final: mean final score.
        area: mean area under the curve of scores.
    """

    task: str
    seeds: tuple[int, ...]
    diverged: int
    returned: Mean | None
    mode_returned: Mean | None
    final: IntervalEstimate | None
    area: IntervalEstimate | None


@dataclass(frozen=True)
class Point:
    """An entry at one value of the axis.

    Attributes:
        value: value of the axis.
        runs: number of runs.
        diverged: number of diverged runs.
        final: aggregates of the final scores.
        area: aggregates of the areas under the curve.
        absent: why there are no aggregates; empty if there are.
        rank: rank by IQM of the final scores.
        retention: IQM as a share of the anchor's.
        tasks: scores by task.
    """

    value: int
    runs: int
    diverged: int
    final: Aggregates | None
    area: Aggregates | None
    absent: str
    rank: int | None
    retention: IntervalEstimate | None
    tasks: tuple[TaskScore, ...]


@dataclass(frozen=True)
class Line:
    """An entry over the whole axis.

    Attributes:
        label: name in tables and figures.
        algorithm: name of the algorithm.
        source: SHA-256 of the source, or distribution and version; several if it changed between runs.
        config: hyperparameters.
        runs: number of runs.
        diverged: number of diverged runs.
        missing: missing cells, one phrase per task and value.
        points: results by value of the axis.
        lag_score: lag score with its interval.
        spread: standard deviation of the lag score from a single seed; None without an interval.
        rank: rank by lag score.
        tolerance: tolerance; None if undefined.
        undefined: why retention and tolerance are undefined; empty if they are defined.
    """

    label: str
    algorithm: str
    source: tuple[str, ...]
    config: Mapping[str, Any]
    runs: int
    diverged: int
    missing: tuple[str, ...]
    points: tuple[Point, ...]
    lag_score: IntervalEstimate | None
    spread: float | None
    rank: int | None
    tolerance: Tolerance | None
    undefined: str


@dataclass(frozen=True)
class Comparison:
    """``first`` − ``second``, and the probability that a run of ``first`` scores above one of ``second``.

    Attributes:
        first: label of an entry.
        second: label of another.
        lag_score: difference in lag score.
        iqm: differences in IQM, by value of the axis.
        improvement: probability over all values of the axis.
        improvements: probabilities by value of the axis.
        p: p-value of the difference in lag score, or of the improvement if not normalised, with Holm's correction over
            all pairs; None without an interval.
        ps: p-values of the differences in IQM, likewise.
    """

    first: str
    second: str
    lag_score: IntervalEstimate | None
    iqm: tuple[IntervalEstimate | None, ...]
    improvement: IntervalEstimate | None
    improvements: tuple[IntervalEstimate | None, ...]
    p: float | None
    ps: tuple[float | None, ...]


@dataclass(frozen=True)
class Results:
    """All results of a table of runs.

    Attributes:
        suite: the suite of the runs; None outside suites.
        measure: how actions were chosen in the scored evaluations.
        axis: ``lag`` or ``updates``.
        forward: ``reuse`` or ``split``.
        values: values of the axis, in increasing order.
        tasks: task ids.
        seeds: seeds of the runs.
        kind: normalised score or accuracy; ``return`` if not normalised, with per-task returns and probabilities of
            improvement only.
        scales: the returns that score 0 and 1, by task.
        lines: results by entry.
        comparisons: comparisons by pair of entries.
        replications: number of bootstrap replications.
        coverage: measured coverage of intervals over all tasks, in a sentence.
        coverage_by_task: measured coverage of intervals per task.
        pairs: number of pairs in Holm's correction.
        power: probability that these runs separate lag scores; empty without intervals.
        notes: remarks on the numbers.
    """

    suite: SuiteVersion | None
    measure: ActionMode
    axis: Axis
    forward: ForwardMode
    values: tuple[int, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    kind: Kind
    scales: Mapping[str, tuple[float, float]]
    lines: tuple[Line, ...]
    comparisons: tuple[Comparison, ...]
    replications: int
    coverage: str
    coverage_by_task: str
    pairs: int
    power: tuple[Power, ...]
    notes: tuple[str, ...]

    @property
    def normalized(self) -> bool:
        """Whether returns are normalised to scores, which can be averaged over tasks."""
        return self.kind != "return"

    @property
    def power_note(self) -> str:
        """The power in a sentence; empty if unknown."""
        return sentence(self.power, len(self.seeds), len(self.tasks), self.pairs)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {"format_version": _FORMAT_VERSION, **dataclasses.asdict(self)}

    def records(self) -> Iterator[dict[str, Any]]:
        """One flat row per number, for a CSV file: label, against, task, value of the axis, measure, quantity."""
        for line in self.lines:
            yield from _rows({"label": line.label}, "final", lag_score=line.lag_score, tolerance=line.tolerance)
            for point in line.points:
                at = {"label": line.label, self.axis: point.value}
                yield from _rows(at, "final", retention=point.retention)
                for measure, found in (("final", point.final), ("area", point.area)):
                    if found is not None:
                        named = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
                        yield from _rows(at, measure, **named)
                    for task in point.tasks:
                        yield from _rows({**at, "task": task.task}, measure, mean=getattr(task, measure))
                for task in point.tasks:
                    for quantity, mean in (("return", task.returned), ("mode_return", task.mode_returned)):
                        if mean is not None:
                            yield {**at, "task": task.task, "measure": "final", **_mean(quantity, mean)}
        for pair in self.comparisons:
            both = {"label": pair.first, "against": pair.second}
            yield from _rows(both, "final", lag_score_difference=pair.lag_score, improvement=pair.improvement)
            yield from _p_value(both, pair.p)
            for value, iqm, improvement, p in zip(self.values, pair.iqm, pair.improvements, pair.ps, strict=True):
                at = {**both, self.axis: value}
                yield from _rows(at, "final", iqm_difference=iqm, improvement=improvement)
                yield from _p_value(at, p)


def _p_value(place: Mapping[str, Any], p: float | None) -> Iterator[dict[str, Any]]:
    if p is not None:
        yield {**place, "measure": "final", "quantity": "p_value", "value": p}


def _mean(quantity: str, mean: Mean) -> dict[str, Any]:
    return {"quantity": quantity, "value": mean.value, "standard_error": mean.error}


def _rows(
    place: Mapping[str, Any], measure: str, **named: IntervalEstimate | Tolerance | None
) -> Iterator[dict[str, Any]]:
    for quantity, x in named.items():
        if x is not None:
            yield {**place, "measure": measure, "quantity": quantity, "value": x.value, "low": x.low, "high": x.high}
