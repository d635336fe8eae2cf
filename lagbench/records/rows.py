"""The rows that one phase adds to a run's records, as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.actors.base import EndedEpisode, Transitions
from lagbench.domain import ActionMode
from lagbench.records.curve import standard_error


@dataclass(frozen=True)
class EvaluationRecord:
    """One evaluation: the policy's ``version``, the fractions of the budget that it represents, and its episodes.

    ``mode`` says how actions were chosen: the policy's mode (mean action, greedy) or a sample. Episodes are of the
    domain's subclass of ``Played``.
    """

    index: int
    fractions: tuple[float, ...]
    version: int
    budget_used: int
    mode: ActionMode
    episodes: Sequence[Any]

    @property
    def mean_return(self) -> float:
        """The mean of the episodes' returns."""
        return float(np.mean(self._returns))

    @property
    def standard_error(self) -> float | None:
        """The standard error of ``mean_return``; None for a single episode."""
        return standard_error(self._returns)

    @property
    def _returns(self) -> list[float]:
        return [e.episode_return for e in self.episodes]


@dataclass(frozen=True)
class PhaseRecord:
    """All rows of a phase. ``diagnostics`` are the harness's, the same for every algorithm; ``metrics`` are its own.

    ``version_sha256`` is that of the learner's version at the start of the phase; ``seconds`` are wall-clock times.
    """

    phase: int
    budget_used: int
    versions: NDArray[np.int64]
    version_sha256: str
    updates_made: int
    seconds: Mapping[str, float]
    diagnostics: Mapping[str, float]
    metrics: Mapping[str, float]
    transitions: Transitions
    episodes: Sequence[EndedEpisode]
    evaluations: Sequence[EvaluationRecord]
