"""The interface of domains to replay: replaying episodes, and checking rows for consistency."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lagbench.records.findings import Difference, ReplayCheck
from lagbench.records.reader import Run

Told = Callable[[int], None]
"""Called with the number of further steps done."""


@dataclass(frozen=True)
class Replayed:
    """The result of replaying episodes: numbers of episodes and steps, the first difference, and a description.

    Not ``exact`` if some matched within a tolerance only; ``skipped`` if nothing could be replayed.
    """

    episodes: int
    steps: int
    difference: Difference | None
    message: str
    exact: bool = True
    skipped: bool = False


@dataclass(frozen=True)
class Recomputed:
    """The result of recomputing actions from the policy file: their number, the largest difference, and the check."""

    actions: int
    largest: float | None
    check: ReplayCheck


class Replayer(ABC):
    """Replays one run's episodes; ``Domain.replayer`` names the subclass.

    Args:
        run: the run.
        chosen: the evaluation episodes to replay.
        phases: number of committed phases.
        threads: simulator threads, 0 for one per core.
        exact: compare simulations bit for bit even if recorded on another machine.
        told: called with progress, up to ``total``.
    """

    evaluations_check: ClassVar[str]
    training_check: ClassVar[str]
    """The names of the two checks in the report."""

    def __init__(
        self, run: Run, chosen: Sequence[Any], phases: int, threads: int, told: Told, *, exact: bool = True
    ) -> None:
        self.run = run
        self.chosen = chosen
        self.phases = phases
        self.threads = threads
        self.exact = exact
        self.told = told

    @property
    @abstractmethod
    def tolerance(self) -> Mapping[str, float]:
        """Allowed differences from the record, by quantity; see ``ReplayReport.tolerance``."""

    @abstractmethod
    def wrong_version(self) -> Difference | None:
        """The first row of ``trajectories`` whose versions differ from those of its phase."""

    @abstractmethod
    def wrong_episode(self) -> Difference | None:
        """The first row of ``episodes`` that is inconsistent with ``trajectories``."""

    @abstractmethod
    def evaluations(self) -> Replayed:
        """Replay the evaluation episodes ``chosen``."""

    @abstractmethod
    def policy(self, final: Sequence[int]) -> Recomputed:
        """Recompute the actions of the ``chosen`` episodes at these indices, at least one, from the policy file.

        Called after ``evaluations``. Raises RecordError if the policy file cannot be read.
        """

    @abstractmethod
    def training(self) -> Replayed:
        """Replay the training episodes."""

    @abstractmethod
    def notes(self) -> list[str]:
        """Remarks for the report, one sentence each."""


def counted(n: int, noun: str) -> str:
    """``1 step``, ``2,000 steps``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
