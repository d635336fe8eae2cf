"""Histograms of lag over actors and phases, or over rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.lag import staleness
from lagbench.protocol import Protocol

_WIDTH = 40
_ROWS = 24
_STEPS = 100
_SPARKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Histogram:
    """The count of each lag from 0 on; the last count is not 0."""

    counts: tuple[int, ...]

    @classmethod
    def of(cls, lags: Iterable[Any] | NDArray[Any]) -> Histogram:
        """The histogram of lags of any order and shape, at least one."""
        return cls(tuple(int(n) for n in np.bincount(np.asarray([*lags], dtype=np.int64).ravel())))

    @classmethod
    def of_mode(cls, protocol: Protocol, seed: int, phases: int) -> Histogram:
        """The histogram of a run's lag mode over all phases, including the first ones with few versions.

        If versions change within episodes, episodes have the maximum length.
        """
        steps = _STEPS if staleness.mode(protocol, seed).in_flight else 1
        return cls.of([phase - staleness.by_step(protocol, seed, phase, steps) for phase in range(phases)])

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of each lag."""
        return np.array(self.counts) / sum(self.counts)

    @property
    def mean(self) -> float:
        """The mean lag."""
        return float(self.shares @ np.arange(len(self.counts)))

    @property
    def largest(self) -> int:
        """The largest lag."""
        return len(self.counts) - 1

    def quantile(self, share: float) -> int:
        """The smallest lag that at least this share does not exceed."""
        # 0.95 is not exact in binary.
        return int(np.searchsorted(np.cumsum(self.counts), (share - 1e-12) * sum(self.counts)))

    def distance(self, other: Histogram) -> float:
        """The Kolmogorov distance: the largest difference of the two cumulative distributions."""
        length = max(len(self.counts), len(other.counts))
        mine, theirs = (np.pad(h.shares, (0, length - len(h.counts))).cumsum() for h in (self, other))
        return float(np.abs(mine - theirs).max())

    def summary(self) -> str:
        """Mean, 95% quantile and maximum, as text."""
        return f"mean {self.mean:.2f}, 95% at most {self.quantile(0.95)}, largest {self.largest}"

    def lines(self) -> list[str]:
        """A bar chart as text, one line per lag, or per several lags if there are many."""
        step = -(-len(self.counts) // _ROWS)
        shares = [float(self.shares[i : i + step].sum()) for i in range(0, len(self.counts), step)]
        ends = [(i, min(i + step, len(self.counts)) - 1) for i in range(0, len(self.counts), step)]
        names = [f"{low}" if low == high else f"{low}-{high}" for low, high in ends]
        width = max(map(len, names))
        unit = _WIDTH / max(shares)
        return [
            f"{name:>{width}}  {share:6.1%}  {'█' * round(unit * share)}".rstrip()
            for name, share in zip(names, shares, strict=True)
        ]

    def spark(self) -> str:
        """A sparkline: one character per lag, as high as its share."""
        highest = max(self.shares)
        return "".join(_SPARKS[round((len(_SPARKS) - 1) * float(share / highest))] for share in self.shares)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {
            "mean": self.mean,
            "p95": self.quantile(0.95),
            "max": self.largest,
            "counts": list(self.counts),
        }
