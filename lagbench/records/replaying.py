"""The interface of a domain to replays: episodes replayed, rows checked for consistency."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from lagbench.records.findings import Difference, ReplayCheck
from lagbench.records.reader import Run

Told = Callable[[int], None]
"""Told how many steps more have been made."""


@dataclass(frozen=True)
class Replayed:
    """What was gone through again: how many episodes and steps, the first difference, and what was done, in words.

    Not ``exact`` where some came out to within a tolerance only; ``skipped`` where nothing could be gone through.
    """

    episodes: int
    steps: int
    difference: Difference | None
    message: str
    exact: bool = True
    skipped: bool = False


@dataclass(frozen=True)
class Recomputed:
    """What was recomputed from the policy file: how many actions, the largest difference, and the check of it."""

    actions: int
    largest: float | None
    check: ReplayCheck


class Replayer(ABC):
    """One run's episodes, to be gone through again; ``Domain.replayer`` names its class.

    Args:
        run: the run.
        chosen: the evaluation episodes to look at.
        phases: how many the run has committed.
        threads: the simulator's, 0 for one a core.
        exact: hold simulations to the record bit for bit, wherever it was made.
        told: told of progress, ``total`` in all.
    """

    evaluations_check: ClassVar[str]
    training_check: ClassVar[str]
    """What the two are called among a replay's checks."""

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
        """How far what is recomputed may be from the record, by what it is; see ``ReplayReport.tolerance``."""

    @abstractmethod
    def wrong_version(self) -> Difference | None:
        """The first row of ``trajectories`` whose versions are not those of its phase."""

    @abstractmethod
    def wrong_episode(self) -> Difference | None:
        """The first row of ``episodes`` that does not follow from ``trajectories``."""

    @abstractmethod
    def evaluations(self) -> Replayed:
        """The evaluation episodes ``chosen``."""

    @abstractmethod
    def policy(self, final: Sequence[int]) -> Recomputed:
        """What the policy file would have chosen in those of ``chosen`` at these indices, one at least.

        Called after ``evaluations``. Raises RecordError where the policy file cannot be read.
        """

    @abstractmethod
    def training(self) -> Replayed:
        """The training episodes."""

    @abstractmethod
    def notes(self) -> list[str]:
        """Sentences on what to bear in mind."""


def counted(n: int, noun: str) -> str:
    """``1 step``, ``2,000 steps``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
