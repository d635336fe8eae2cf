"""Whether two means of returns agree: how many standard errors they are apart, and how likely so many are by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

LIMIT = 3.0
"""Standard errors; means that are further apart do not agree."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Sample:
    """Returns, summed up.

    Attributes:
        mean: their mean.
        std: their standard deviation, with the divisor n − 1; None of a single one.
        episodes: how many they are.
    """

    mean: float
    std: float | None
    episodes: int

    @classmethod
    def of(cls, returns: Sequence[float]) -> Self:
        """That of these returns, one at least."""
        n = len(returns)
        # Sums that are rounded once: the same to the last digit on every machine, so that a report can be held to them.
        mean = math.fsum(returns) / n
        squares = math.fsum((x - mean) * (x - mean) for x in returns)
        return cls(mean, math.sqrt(squares / (n - 1)) if n > 1 else None, n)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return dict(vars(self))


def distance(claimed: Sample, found: Sample) -> float | None:
    """``claimed`` minus ``found`` in standard errors √(s₁²/n₁ + s₂²/n₂).

    None where there is no standard error: one of them is a single return, or neither has any spread and they differ.
    """
    error = _error(claimed, found)
    if error is None:
        return None
    apart = claimed.mean - found.mean
    # Equal returns have means that are equal but for rounding.
    small = _ROUNDING * max(1.0, abs(claimed.mean), abs(found.mean))
    if abs(apart) <= small:
        return 0.0
    return apart / error if error > small else None


def agree(claimed: Sample, found: Sample) -> bool:
    """Whether they are no more than ``LIMIT`` standard errors apart; True where a single return tells nothing."""
    z = distance(claimed, found)
    return _error(claimed, found) is None if z is None else abs(z) <= LIMIT


def chance(claimed: Sample, found: Sample) -> float:
    """How likely two samples of these sizes and spreads are not to agree, if the same policy plays both.

    The distance in standard errors is taken to follow Student's t with the degrees of freedom of Welch and
    Satterthwaite, as it does where returns are normal: of ten episodes and thirty, some 0.01. It happens more often to
    a policy that falls now and then, and in few episodes did not, or always did: these show nothing of their spread.
    """
    error = _error(claimed, found)
    if not error:
        return 0.0
    from scipy import stats

    parts = [(s.std * s.std / s.episodes, s.episodes) for s in (claimed, found) if s.std is not None]
    degrees = sum(part for part, _ in parts) ** 2 / sum(part**2 / (n - 1) for part, n in parts)
    return float(2 * stats.t.sf(LIMIT, degrees))


def _error(*samples: Sample) -> float | None:
    """The standard error of a difference of means."""
    parts = [s.std * s.std / s.episodes for s in samples if s.std is not None]
    return math.sqrt(sum(parts)) if len(parts) == len(samples) else None
