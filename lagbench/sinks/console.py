"""Display of a run on the terminal: settings, progress, result. Plain lines if stderr is not a terminal."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lagbench.lag.histogram import Histogram
from lagbench.records.curve import with_error
from lagbench.records.reader import Run
from lagbench.sinks import description
from lagbench.sinks.base import Sink
from lagbench.spec import RunSpec
from lagbench.training import PhaseResult

_PLAIN_EVERY_S = 10.0
_PACE_PHASES = 50
_BAR_WIDTH = 60
_BEGINNING = "setting up, first evaluation and collection"
_RESUMING = "setting up"
_STOPPING = "stopping at the end of this phase; Ctrl-C again to stop at once"


class Console(Sink):
    """Shows hyperparameters first, then progress, then a summary, all on stderr."""

    def __init__(self) -> None:
        self._console = Terminal(stderr=True, highlight=False)
        self._live: Live | None = None
        self._last_line = 0.0
        self._done = 0
        self._used = ""
        self._pace = ""
        self._evaluation: dict[str, str] = {}
        self._measured: dict[str, str] = {}
        self._stopping = False
        self._lags: Counter[int] = Counter()

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """See ``Sink.start``."""
        self._spec, self._path, self._done = spec, path, phases_done
        self._began = time.monotonic()
        self._ends: deque[tuple[float, int]] = deque(maxlen=_PACE_PHASES)
        self._beginning = _RESUMING if phases_done else _BEGINNING
        rows = {**description.about(spec), **spec.load_task().about(), "records": f"{path} ({spec.record})"}
        if phases_done:
            rows["resumed"] = f"after phase {phases_done} of {spec.phases}"
        self._print(rows)
        # Where the display cannot be redrawn, print a line now and then.
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(console=self._console, get_renderable=self._panel, refresh_per_second=4, transient=True)
            self._live.start()
        else:
            self._console.print(self._beginning)

    def write(self, result: PhaseResult) -> None:
        """See ``Sink.write``."""
        record, spec = result.record, self._spec
        self._done = record.phase + 1
        for e in record.evaluations:
            mean = with_error(e.mean_return, e.standard_error, spec.domain.return_format)
            if e.mode == spec.evaluation.measure:
                self._evaluation = {"evaluation": f"{mean} at {e.fractions[-1]:.0%}"}
            else:
                self._evaluation[spec.domain.modes[e.mode]] = mean
        self._measured = description.measured(result)
        if spec.is_asynchronous:
            self._lags += Counter((record.phase - record.versions).tolist())
            histogram = Histogram.of(self._lags.elements())
            self._measured["lags"] = f"0 {histogram.spark()} {histogram.largest}"
        total = spec.phases * spec.protocol.samples
        self._used = f"{record.budget_used:,} of {total:,} {spec.domain.budget_unit}"
        self._pace = self._measure_pace()
        if self._live is None:
            now = time.monotonic()
            if record.evaluations or result.last or now - self._last_line >= _PLAIN_EVERY_S:
                self._last_line = now
                self._console.print(f"{self._budget_line()} · {self._lag_line()}", soft_wrap=True)

    def stopping(self) -> None:
        """See ``Sink.stopping``."""
        self._stopping = True
        if self._live is None:
            self._console.say_at_once(_STOPPING)

    def close(self) -> None:
        """See ``Sink.close``."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def finish(self, run: Run) -> None:
        """See ``Sink.finish``."""
        took = description.duration(time.monotonic() - self._began)
        self._print({**description.result(run), "time": took, "records": str(run.path)})

    def _measure_pace(self) -> str:
        """Speed and time left, from recent phases, so that set-up and a slow start do not count."""
        self._ends.append((time.monotonic(), self._done))
        since, done = self._ends[0] if len(self._ends) > 1 else (self._began, self._done - 1)
        phases_per_s = (self._done - done) / max(self._ends[-1][0] - since, 1e-9)
        left = (self._spec.phases - self._done) / phases_per_s
        return f"{description.rate(phases_per_s * self._spec.protocol.samples)} · {description.duration(left)} left"

    def _budget_line(self) -> str:
        return f"{self._used} · {self._pace}"

    def _lag_line(self) -> str:
        return " · ".join(f"{k} {v}" for k, v in {**self._evaluation, **self._measured}.items())

    def _panel(self) -> RenderableType:
        width = min(_BAR_WIDTH, self._console.width)
        bar = ProgressBar(total=self._spec.phases, completed=self._done, width=width)
        if self._used:
            lines = [self._budget_line(), self._lag_line()]
        else:
            waited = description.duration(time.monotonic() - self._began)
            lines = [f"{self._beginning} · {waited}"]
        if self._stopping:
            lines.append(_STOPPING)
        panel = Table.grid()
        panel.add_row(bar)
        for line in lines:
            panel.add_row(Text(line))
        return panel

    def _print(self, rows: Mapping[str, str]) -> None:
        if not self._console.is_terminal:
            width = max(map(len, rows))
            for name, text in rows.items():
                self._console.print(f"{name:<{width}}  {text}", soft_wrap=True, markup=False)
            return
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in rows.items():
            table.add_row(name, Text(text))
        self._console.print(table)


class Terminal(RichConsole):
    """A console that never ends the process."""

    def on_broken_pipe(self) -> None:
        """Raise, so that the sink is dropped; rich would end the process and thus the run."""
        raise BrokenPipeError("its reader has closed it")

    def say_at_once(self, line: str) -> None:
        """Write a line from a signal handler, which may have interrupted printing."""
        with contextlib.suppress(OSError):
            os.write(self.file.fileno(), f"{line}\n".encode())
