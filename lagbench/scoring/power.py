"""The power of a suite: the probability that its runs separate two algorithms, from the spread of existing runs."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from math import sqrt
from pathlib import Path

from lagbench.errors import LagbenchError
from lagbench.scoring.significance import degrees, quantile, unbiased
from lagbench.suites import Suite

DIFFERENCES = (0.1, 0.2, 0.3)
"""The differences in lag score for which power is given."""
_QUANTILES = 10_000


@dataclass(frozen=True)
class Power:
    """The probability that two algorithms are separated.

    Attributes:
        difference: true difference of their lag scores.
        alone: probability for a single comparison.
        corrected: lower bound with Holm's correction over all comparisons.
    """

    difference: float
    alone: float
    corrected: float


def spread(error: float, runs: int) -> float:
    """The standard deviation σ of a lag score from a single seed: from n seeds, the variance is σ²/n.

    Args:
        error: standard deviation of the bootstrap of a lag score.
        runs: n, at least 2.

    Returns:
        σ.
    """
    return unbiased(error, runs) * sqrt(runs)


def power(spreads: Sequence[float], runs: int, tasks: int, pairs: int) -> tuple[Power, ...]:
    """The power of ``runs`` seeds on ``tasks`` tasks with ``pairs`` comparisons, at each of ``DIFFERENCES``.

    Args:
        spreads: σ of several algorithms, whose variances are averaged.
        runs: seeds of each.
        tasks: number of tasks.
        pairs: number of comparisons in Holm's correction.

    Returns:
        One ``Power`` per difference; empty without spreads, or with a single seed.
    """
    if not spreads or runs < 2:
        return ()
    sigma = sqrt(sum(x * x for x in spreads) / len(spreads))
    return tuple(
        Power(x, probability(x, sigma, runs, tasks), probability(x, sigma, runs, tasks, pairs)) for x in DIFFERENCES
    )


def probability(difference: float, sigma: float, runs: int, tasks: int, pairs: int = 1) -> float:
    """The probability that a true difference is detected, in either direction.

    The difference of two lag scores from n seeds each is normal with standard error σ√(2/n); divided by its estimate,
    σ√(2/n) √(χ²/ν), it follows a noncentral t distribution. It must exceed the quantile of the first step of Holm's
    correction over ``pairs``.

    Args:
        difference: true difference of the two lag scores.
        sigma: σ of a lag score from a single seed.
        runs: n of each.
        tasks: number of tasks.
        pairs: number of comparisons in Holm's correction.

    Returns:
        A probability.
    """
    import numpy as np
    from scipy import stats

    if not sigma:
        return 1.0
    freedom = degrees(runs, tasks)
    apart = difference / (sigma * sqrt(2 / runs))
    # SciPy's noncentral t is NaN far out; the mean over quantiles of χ² is not.
    shown = np.sqrt(stats.chi2.ppf((np.arange(_QUANTILES) + 0.5) / _QUANTILES, freedom) / freedom)
    limit = quantile(runs, tasks, pairs) * shown
    return float(np.mean(stats.norm.sf(limit - apart) + stats.norm.cdf(-limit - apart)))


def to_file(suite: Suite, spreads: Mapping[str, float | None], file: Path) -> None:
    """Write the file that ``published`` reads.

    Args:
        suite: suite of the runs.
        spreads: σ of the lag score by algorithm.
        file: destination.

    Raises:
        LagbenchError: a spread is None.
    """
    if None in spreads.values():
        raise LagbenchError(f"{suite.name} has no known power: not every algorithm has a lag score with an interval")
    document = {"suite": {"name": suite.name, "sha256": suite.sha256}, "spreads": dict(spreads)}
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def file_of(suite: Suite) -> Traversable:
    """The file with the spreads of a suite's published runs.

    Args:
        suite: suite of the runs.

    Returns:
        A file of the package, which need not exist.
    """
    return importlib.resources.files("lagbench.suites").joinpath(f"{suite.name}.power.json")


def published(suite: Suite) -> str:
    """The power of a suite from its published runs.

    Args:
        suite: suite of the runs.

    Returns:
        A sentence; empty if nothing is published.

    Raises:
        LagbenchError: the published file belongs to another version of the suite.
    """
    file = file_of(suite)
    if not file.is_file():
        return ""
    data = json.loads(file.read_text("utf-8"))
    if data["suite"]["sha256"] != suite.sha256:
        raise LagbenchError(f"the published power belongs to another version of {suite.name}; publish its scores again")
    spreads = list(data["spreads"].values())
    seeds, tasks, pairs = len(suite.seeds), len(suite.tasks), len(spreads) * (len(spreads) - 1) // 2
    whose = f"{len(spreads)} published algorithm{'s' * (len(spreads) != 1)}"
    return sentence(power(spreads, seeds, tasks, pairs or 1), seeds, tasks, pairs or 1, whose)


def sentence(found: Sequence[Power], runs: int, tasks: int, pairs: int, whose: str = "these runs") -> str:
    """The power as a sentence, shown under tables.

    Args:
        found: result of ``power``.
        runs: seeds of each algorithm.
        tasks: number of tasks.
        pairs: number of comparisons in Holm's correction.
        whose: source of the spread.

    Returns:
        A sentence; empty if unknown.
    """
    if not found:
        return ""
    sizes = "/".join(f"{one.difference:g}" for one in found)
    text = (
        f"Power, by the spread of {whose}: lag scores that differ by {sizes} are separated with probability "
        f"{_shares(one.alone for one in found)} ({runs} seeds on {tasks} task{'s' * (tasks != 1)})"
    )
    if pairs == 1:
        return f"{text}."
    return f"{text}, with Holm's correction over {pairs} pairs at least {_shares(one.corrected for one in found)}."


def _shares(values: Iterable[float]) -> str:
    return "/".join(f"{value:.2f}" for value in values)
