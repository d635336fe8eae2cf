"""The interface for observers of a sweep."""

from __future__ import annotations

from collections.abc import Mapping

from lagbench.sweep.cells import Planned, State


class Watcher:
    """Receives the progress of a sweep. Subclasses override what they need."""

    def start(self, states: Mapping[Planned, State], slots: int) -> None:
        """Called before the first cell, with all cells and the number that may run at once."""

    def begun(self, cell: Planned) -> None:
        """A cell was started."""

    def advanced(self, cell: Planned, phases: int) -> None:
        """A running cell has completed ``phases`` phases."""

    def ended(self, cell: Planned, state: State) -> None:
        """A cell is done, or was interrupted."""

    def left(self, cell: Planned) -> None:
        """A cell that was started is held by another process."""

    def elsewhere(self, cells: int) -> None:
        """Other processes run ``cells`` of the remaining cells."""

    def stopping(self) -> None:
        """Running cells end after their phase; no others start. Called from a signal handler: must return fast."""

    def close(self) -> None:
        """Called after the last event."""
