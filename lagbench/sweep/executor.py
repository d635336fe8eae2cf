"""The interface of executors, which run the cells of a sweep and report their progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from lagbench.sweep.cells import Planned


@dataclass(frozen=True)
class Advanced:
    """A cell has so many phases behind it."""

    cell: Planned
    phases: int


@dataclass(frozen=True)
class Ended:
    """A cell runs no more; its directory says what became of it.

    Attributes:
        cell: the cell.
        reason: why it did not come to its end, where something went wrong.
        elsewhere: whether somebody else has it, so that nothing was done.
        is_general: whether ``reason`` would stop every other cell too.
    """

    cell: Planned
    reason: str = ""
    elsewhere: bool = False
    is_general: bool = False


Event = Advanced | Ended


class Executor(ABC):
    """Runs up to ``slots`` cells at once. The claim of a cell is held by what runs it."""

    slots: int

    @abstractmethod
    def start(self, cell: Planned) -> None:
        """Run a cell, or go on with it."""

    @abstractmethod
    def wait(self, seconds: float) -> Sequence[Event]:
        """What happened since; nothing where nothing does for so long."""

    @abstractmethod
    def stop(self) -> None:
        """Have every cell end after its phase under way."""

    @abstractmethod
    def close(self) -> None:
        """End at once whatever still runs, so that it can be resumed."""
