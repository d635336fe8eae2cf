"""Display of a sweep on the terminal: a live table, or a line per finished cell if stderr is not a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lagbench.records.curve import with_error
from lagbench.sinks import description
from lagbench.sinks.console import Terminal
from lagbench.sweep import cost
from lagbench.sweep.cells import Planned, State
from lagbench.sweep.tally import Tally
from lagbench.sweep.watcher import Watcher

_BAR_WIDTH = 60
_STOPPING = "stopping at the end of each phase; Ctrl-C again to stop at once"
_STYLES = {"completed": "green", "diverged": "yellow", "failed": "red", "unusable": "red", "crashed": "red"}


def in_words(cells: int) -> str:
    """A number of cells, as text."""
    return "1 cell" if cells == 1 else f"{cells:,} cells"


class Board(Watcher):
    """Shows the progress of a sweep on stderr.

    Args:
        out: the directory of the sweep; cells are named by their paths relative to it.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._console = Terminal(stderr=True, highlight=False)
        self._live: Live | None = None
        self._elsewhere = 0
        self._stopping = False

    def start(self, states: Mapping[Planned, State], slots: int) -> None:
        """See ``Watcher.start``."""
        self._tally = Tally(states)
        self._total = len(states)
        left = [cell.spec for cell, state in states.items() if not state.is_over]
        hours = cost.hours(left)
        about = f" (about {description.duration(3600 * hours)} on one core)" if hours else ""
        self._print(f"{in_words(self._total)}, {len(left)} to run{about}, {slots} at a time, in {self._out}")
        for name in sorted({cell.spec.policy.name for cell in states if cell.spec.policy is not None}):
            self._print(f"with networks of {name}, which are not the benchmark's")
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, get_renderable=self._panel, refresh_per_second=4, transient=True)
            self._live.start()

    def begun(self, cell: Planned) -> None:
        """See ``Watcher.begun``."""
        self._tally.begin(cell)

    def advanced(self, cell: Planned, phases: int) -> None:
        """See ``Watcher.advanced``."""
        self._tally.advance(cell, phases)

    def ended(self, cell: Planned, state: State) -> None:
        """See ``Watcher.ended``."""
        took = self._tally.end(cell, state)
        line = Text(f"[{self._tally.over}/{self._total}] ")
        line.append(state.status, style=_STYLES.get(state.status, ""))
        line.append(f"  {self._name(cell)}")
        if state.score is not None:
            line.append(f"  {with_error(state.score, state.error, cell.spec.domain.return_format)}")
        if took:
            line.append(f"  {description.duration(took)}")
        if state.reason:
            line.append(f"  {state.reason}")
        self._print(line)

    def left(self, cell: Planned) -> None:
        """See ``Watcher.left``."""
        self._tally.leave(cell)

    def elsewhere(self, cells: int) -> None:
        """See ``Watcher.elsewhere``."""
        if cells and cells != self._elsewhere and self._live is None and not self._tally.running:
            self._print(f"waiting for {in_words(cells)} run by other processes")
        self._elsewhere = cells

    def stopping(self) -> None:
        """See ``Watcher.stopping``."""
        self._stopping = True
        if self._live is None:
            self._console.say_at_once(_STOPPING)

    def close(self) -> None:
        """See ``Watcher.close``."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _name(self, cell: Planned) -> str:
        return str(cell.path.relative_to(self._out) if cell.path.is_relative_to(self._out) else cell.path)

    def _print(self, what: str | Text) -> None:
        self._console.print(what, soft_wrap=True, markup=False)

    def _panel(self) -> RenderableType:
        # Called from the display's thread; slightly stale values are harmless.
        tally = self._tally
        counts = tally.counts
        parts = [f"{tally.over} of {self._total} done", f"{len(tally.running)} running"]
        parts += [f"{counts[name]} {name}" for name in ("failed", "crashed", "unusable", "diverged") if counts[name]]
        if self._elsewhere:
            parts.append(f"{self._elsewhere} run elsewhere")
        if left := tally.seconds_left():
            parts.append(f"{description.duration(left)} left")
        table = Table.grid(padding=(0, 2))
        for cell in tally.running[: max(self._console.height - 6, 1)]:
            pace = tally.pace(cell)
            phases = f"{tally.phases(cell):,} of {cell.spec.phases:,} phases"
            table.add_row(self._name(cell), phases, f"{tally.share(cell):.0%}", description.rate(pace) if pace else "")
        head = Table.grid()
        head.add_row(ProgressBar(total=self._total, completed=tally.over, width=min(_BAR_WIDTH, self._console.width)))
        head.add_row(Text(" · ".join(parts)))
        lines = [Text(_STOPPING)] if self._stopping else []
        return Group(head, table, *lines)
