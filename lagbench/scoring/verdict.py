"""Verdicts: better, worse or not separable, and the number of seeds likely to separate."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import Literal

from lagbench.scoring import significance
from lagbench.scoring.results import Comparison, IntervalEstimate, Results

VerdictOutcome = Literal["better", "worse", "not separable", "none"]
"""The outcome by the p-value of a difference; ``none`` without a p-value."""
LIKELY = 0.8
"""The probability with which the named number of seeds would separate two algorithms."""
MOST_SEEDS = 100
"""Larger numbers of seeds are not estimated: few seeds do not determine them."""
_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf(0.975)


@dataclass(frozen=True)
class Verdict:
    """The verdict on a baseline.

    Attributes:
        against: the baseline.
        outcome: by the p-value of the difference in lag score, with Holm's correction over all pairs of algorithms,
            including pairs of baselines; ``none`` without a verdict.
        text: the verdict and its numbers, as a sentence.
        seeds: seeds per algorithm that would be likely to separate two that are not separable; None if more than
            ``MOST_SEEDS``.
    """

    against: str
    outcome: VerdictOutcome
    text: str
    seeds: int | None = None


def of(results: Results, new: str) -> Results:
    """Keep only the comparisons of one line with the others, with this line first.

    Args:
        results: results of several lines.
        new: label of the line.

    Returns:
        The results, otherwise unchanged.
    """
    pairs = [pair for pair in results.comparisons if new in (pair.first, pair.second)]
    return dataclasses.replace(results, comparisons=tuple(p if p.first == new else _turned(p) for p in pairs))


def verdicts(results: Results) -> tuple[Verdict, ...]:
    """A verdict for each comparison, on its first line.

    Args:
        results: results of ``of``.

    Returns:
        Verdicts in the order of the comparisons.
    """
    return tuple(_verdict(results, pair) for pair in results.comparisons)


def summary(new: str, found: Sequence[Verdict]) -> str:
    """All verdicts in one line.

    Args:
        new: label of the judged algorithm.
        found: the verdicts.

    Returns:
        A line such as ``mine: better than ppo; not separable from vaco``.
    """
    words = {"better": "better than", "worse": "worse than", "not separable": "not separable from"}
    parts = []
    for outcome, text in {**words, "none": "no verdict on"}.items():
        if names := [verdict.against for verdict in found if verdict.outcome == outcome]:
            parts.append(f"{text} {', '.join(names)}")
    return f"{new}: {'; '.join(parts)}"


def seeds_to_separate(difference: IntervalEstimate, seeds: int, tasks: int, pairs: int) -> int | None:
    """The smallest number of seeds per algorithm that would separate two algorithms with probability 0.8.

    Args:
        difference: observed difference of two algorithms that are not separable, with its 95% interval.
        seeds: seeds of each behind it.
        tasks: number of tasks.
        pairs: number of comparisons in Holm's correction, which at worst divides the level by it.

    Returns:
        The number of seeds; None if more than ``MOST_SEEDS``.

    The difference d(n) measured with n seeds of each is assumed to be normal around the true difference δ with variance
    σ²/n, with a flat prior on δ. As the bootstrap's variance has the divisor n, half the width of the interval from m
    seeds is 1.96 σ √(m−1) / m, which gives σ. Given the m observed seeds, δ is normal around the observed d with
    variance σ²/m, so that d(n) of n new seeds is normal around d with variance σ² (1/m + 1/n). It exceeds
    h(n) = t(n) σ / √n in absolute value, where t(n) is the quantile of the test, with probability

        P(n) = Φ((|d| − h(n)) / s) + Φ((−|d| − h(n)) / s),    s = σ √(1/m + 1/n).

    The smallest n > m with P(n) ≥ 0.8 is returned. This accounts for the uncertainty of d: a power calculation with d
    in place of δ gives fewer seeds, which separate with a probability of 0.66 to 0.76.
    """
    if difference.low is None or difference.high is None or seeds < 2:
        return None
    half = (difference.high - difference.low) / 2
    sigma = half / _Z * seeds / sqrt(seeds - 1)
    if sigma == 0:
        return None
    for n in range(seeds + 1, MOST_SEEDS + 1):
        needed = significance.quantile(n, tasks, pairs) * sigma / sqrt(n)
        spread = sigma * sqrt(1 / seeds + 1 / n)
        size = abs(difference.value)
        if _NORMAL.cdf((size - needed) / spread) + _NORMAL.cdf((-size - needed) / spread) >= LIKELY:
            return n
    return None


def _turned(pair: Comparison) -> Comparison:
    """The comparison with both lines exchanged."""
    return Comparison(
        first=pair.second,
        second=pair.first,
        lag_score=_from(0.0, pair.lag_score),
        iqm=tuple(_from(0.0, x) for x in pair.iqm),
        improvement=_from(1.0, pair.improvement),
        improvements=tuple(_from(1.0, x) for x in pair.improvements),
        p=pair.p,
        ps=pair.ps,
    )


def _from(whole: float, found: IntervalEstimate | None) -> IntervalEstimate | None:
    """``whole`` minus an estimate."""
    if found is None:
        return None
    low, high = (None if x is None else whole - x for x in (found.high, found.low))
    return IntervalEstimate(whole - found.value, low, high)


def _verdict(results: Results, pair: Comparison) -> Verdict:
    new, other = pair.first, pair.second
    if lacking := _lacking(results, (new, other)):
        return Verdict(other, "none", f"{new} and {other}: no verdict: {lacking}")
    measured = _measured(results, pair)
    if measured is None:
        why = "one seed gives no interval" if len(results.seeds) < 2 else "diverged runs have no score"
        return Verdict(other, "none", f"{new} and {other}: no verdict: {why}")
    difference, numbers = measured
    if significance.apart(pair.p):
        outcome: VerdictOutcome = "better" if difference.value > 0 else "worse"
        return Verdict(other, outcome, f"{new} is {outcome} than {other}: {numbers}")
    there = len(results.seeds)
    wanted = seeds_to_separate(difference, there, len(results.tasks), results.pairs)
    many = f"about {wanted} seeds of each" if wanted else f"it would take more than {MOST_SEEDS} seeds of each"
    verb = "would be likely" if wanted else "to be likely"
    return Verdict(
        other,
        "not separable",
        f"{new} and {other} are not separable: {numbers}; {many} {verb} to separate them; there are {there}",
        wanted,
    )


def _lacking(results: Results, labels: Sequence[str]) -> str:
    """The missing runs of two lines, as a phrase."""
    promised = len(results.values) * len(results.tasks) * len(results.seeds)
    return ", and ".join(
        f"{line.label} has {line.runs} of {promised} runs (missing: {'; '.join(line.missing)})"
        for line in results.lines
        if line.label in labels and line.missing
    )


def _measured(results: Results, pair: Comparison) -> tuple[IntervalEstimate, str] | None:
    """The difference that decides the verdict, and the numbers in words."""
    if results.normalized:
        score, last = pair.lag_score, pair.iqm[-1]
        if score is None or score.low is None or last is None:
            return None
        at = f"{results.axis} {results.values[-1]}"
        return score, f"lag score {_difference(score)}, p {pair.p:.2g}, IQM at {at} {_difference(last)}"
    chance = pair.improvement
    if chance is None or chance.low is None or chance.high is None:
        return None
    numbers = (
        f"the probability that a run of it scores above one of {pair.second} is {chance.value:.2f} ({chance.low:.2f} "
        f"to {chance.high:.2f}), p {pair.p:.2g}"
    )
    return IntervalEstimate(chance.value - 0.5, chance.low - 0.5, chance.high - 0.5), numbers


def _difference(found: IntervalEstimate) -> str:
    """``0.12 higher (0.03 to 0.21)``, ``0.02 lower (from 0.09 lower to 0.05 higher)``."""
    if found.low is None or found.high is None:
        return _directed(found.value)
    if found.above_zero:
        return f"{_directed(found.value)} ({_size(found.low)} to {_size(found.high)})"
    if found.below_zero:
        return f"{_directed(found.value)} ({_size(found.high)} to {_size(found.low)})"
    return f"{_directed(found.value)} (from {_directed(found.low)} to {_directed(found.high)})"


def _directed(value: float) -> str:
    return f"{_size(value)} {'lower' if value < 0 else 'higher'}"


def _size(value: float) -> str:
    # One more digit for small numbers, so that a significant difference does not read 0.00.
    return f"{abs(value):.{3 if 0.0005 <= abs(value) < 0.1 else 2}f}"
