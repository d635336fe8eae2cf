"""Who holds which version: drawn from the run's seed, so that anybody can check the record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lagbench.protocol import Protocol
from lagbench.seeding import Stream, generator


def draw(protocol: Protocol, seed: int, phase: int) -> NDArray[np.int64]:
    """The version [N] that each actor holds in a phase, given the learner's version ``phase`` at its start.

    ``uniform``: one of the versions phase−L … phase that exist, drawn uniformly for each actor. ``fixed``: version
    phase−L, or version 0 as long as there is none so old. (Align and Filter, arXiv 2603.01365, figure 1 left: its
    buffer of K policies is L = K−1.)
    """
    oldest = max(0, phase - protocol.lag)
    if protocol.lag_mode == "fixed":
        return np.full(protocol.actors, oldest, dtype=np.int64)
    rng = generator(seed, Stream.STALENESS, phase)
    return rng.integers(oldest, phase, endpoint=True, size=protocol.actors)
