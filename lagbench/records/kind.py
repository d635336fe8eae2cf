"""The tables of a domain, and reading of their rows as episodes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lagbench.records.findings import Difference
from lagbench.registry import load
from lagbench.spec import RunSpec

Columns = dict[str, list[tuple[str, Any]]]
"""Table → its columns in order, by name and pyarrow type."""

SECONDS = ("collecting", "updating", "evaluating")
# The columns of every domain, first in these tables.
EVALUATION_COLUMNS = (
    ("evaluation", pa.int32()),
    ("fractions", pa.list_(pa.float64())),
    ("version", pa.int32()),
    ("budget_used", pa.int64()),
    ("mode", pa.string()),
    ("episode", pa.int32()),
    ("seed", pa.int64()),
    ("return", pa.float64()),
    ("length", pa.int32()),
    ("terminated", pa.bool_()),
    ("truncated", pa.bool_()),
)
PHASE_COLUMNS = (
    ("phase", pa.int32()),
    ("budget_used", pa.int64()),
    ("versions", pa.list_(pa.int32())),
    ("version_sha256", pa.string()),
    ("updates", pa.int32()),
    *[(f"seconds_{what}", pa.float64()) for what in SECONDS],
)


@dataclass(frozen=True, eq=False)
class Evaluated:
    """An evaluation episode: a row of ``evaluations``. Subclasses add the columns of their domain."""

    evaluation: int
    fractions: tuple[float, ...]
    version: int
    budget_used: int
    mode: str
    episode: int
    seed: int
    episode_return: float
    length: int
    terminated: bool
    truncated: bool

    @property
    def name(self) -> dict[str, int | str]:
        """The columns that identify it in its run: evaluation, mode and episode."""
        return {"evaluation": self.evaluation, "mode": self.mode, "episode": self.episode}


class RecordKind(ABC):
    """The tables of one domain; ``Domain.records`` names the subclass."""

    @abstractmethod
    def columns(self, **sizes: int) -> Columns:
        """The columns of every table, without those of diagnostics and seconds; ``sizes`` are the task's."""

    @abstractmethod
    def step_columns(self, table: str) -> Sequence[str] | None:
        """The columns of a table that contain single steps, which a slim copy omits; None: all columns."""

    @abstractmethod
    def wrong_start(self, episode: Any, task: Any) -> Iterator[Difference]:
        """Differences of an evaluation episode's start from the ``TaskSpec``'s, other than the seed.

        Raises UsageError if the task's model or data is not available.
        """

    @abstractmethod
    def evaluation_episodes(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The episodes of ``evaluations``, given as batches, in order."""

    @abstractmethod
    def training_episodes(self, batches: Iterable[Any], spec: RunSpec, directory: Path) -> Iterator[Any]:
        """The episodes of ``trajectories``, given as batches: finished ones ordered by end, then the others.

        Raises RecordError, which names the batches' ``directory``, if they cannot be those of the run.
        """


def kind_of(spec: RunSpec) -> RecordKind:
    """The ``RecordKind`` of a run's domain."""
    kind: RecordKind = load(spec.domain.records)()
    return kind
