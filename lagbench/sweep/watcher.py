"""The interface for following a sweep."""

from __future__ import annotations

from collections.abc import Mapping

from lagbench.sweep.cells import Planned, State


class Watcher:
    """Is told how a sweep goes. A subclass overrides what it needs."""

    def start(self, states: Mapping[Planned, State], slots: int) -> None:
        """Before anything is run: every cell, and how many may run at once."""

    def begun(self, cell: Planned) -> None:
        """A cell was started here."""

    def advanced(self, cell: Planned, phases: int) -> None:
        """A cell that runs here has so many phases behind it."""

    def ended(self, cell: Planned, state: State) -> None:
        """A cell is over, or was left as it is."""

    def left(self, cell: Planned) -> None:
        """A cell that was started here turned out to be somebody else's."""

    def elsewhere(self, cells: int) -> None:
        """So many of the cells that are left are run by others."""

    def stopping(self) -> None:
        """The cells that run end after their phase; no other is started. Called at any moment: only to take note."""

    def close(self) -> None:
        """Nothing more comes."""
