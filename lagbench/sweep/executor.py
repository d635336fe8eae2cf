"""The interface of executors, which run the cells of a sweep and report their progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from lagbench.sweep.cells import Planned


@dataclass(frozen=True)
class Advanced:
    """A cell has completed ``phases`` phases."""

    cell: Planned
    phases: int


@dataclass(frozen=True)
class Ended:
    """A cell has stopped running; its state is in its directory.

    Attributes:
        cell: the cell.
        reason: why it did not finish, if something went wrong.
        elsewhere: whether another process holds the cell, so that nothing was done.
        is_general: whether ``reason`` affects every other cell too.
    """

    cell: Planned
    reason: str = ""
    elsewhere: bool = False
    is_general: bool = False


Event = Advanced | Ended


class Executor(ABC):
    """Runs up to ``slots`` cells at once. Whatever runs a cell holds its claim."""

    slots: int

    @abstractmethod
    def start(self, cell: Planned) -> None:
        """Start or resume a cell."""

    @abstractmethod
    def wait(self, seconds: float) -> Sequence[Event]:
        """Return the events since the last call; waits at most ``seconds`` for one."""

    @abstractmethod
    def stop(self) -> None:
        """Stop every cell at the end of its current phase."""

    @abstractmethod
    def close(self) -> None:
        """Stop all cells at once; they can be resumed."""
