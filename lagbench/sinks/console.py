"""A run on the terminal: what it is, how it goes, what came out. Plain lines where stderr is no terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lagbench.records.reader import Run
from lagbench.spec import RunSpec
from lagbench.training import PhaseResult

_PLAIN_EVERY_S = 10.0
# What of an algorithm's own metrics stands in the display, where it logs it.
_DROPPED = ("filtered_fraction", "clipped_fraction", "truncated_fraction", "outside_fraction")


class Console:
    """Shows hyperparameters first, then progress, then a summary, all on stderr."""

    def __init__(self) -> None:
        self._console = RichConsole(stderr=True, highlight=False)
        self._live: Live | None = None
        self._last_line = 0.0
        self._evaluation = ""

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """See ``Sink.start``."""
        self._spec, self._path = spec, path
        self._began, self._done_before = time.monotonic(), phases_done
        self._console.print(_heading(spec, path, phases_done))
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=4, transient=True)
            self._live.start()

    def write(self, result: PhaseResult) -> None:
        """See ``Sink.write``."""
        for e in result.record.evaluations:
            if e.mode == "mode":
                self._evaluation = f"{e.mean_return:.1f} at {e.fractions[-1]:.0%}"
        facts = self._facts(result)
        if self._live is not None:
            self._live.update(_panel(facts, result.record.phase + 1, self._spec.phases))
            return
        now = time.monotonic()
        if result.record.evaluations or result.last or now - self._last_line >= _PLAIN_EVERY_S:
            self._last_line = now
            self._console.print(" · ".join(f"{k} {v}" for k, v in facts.items()), soft_wrap=True)

    def _facts(self, result: PhaseResult) -> dict[str, str]:
        record, spec = result.record, self._spec
        done = record.phase + 1
        elapsed = time.monotonic() - self._began
        here = done - self._done_before
        rate = here * spec.protocol.samples / elapsed
        left = elapsed / here * (spec.phases - done)
        facts = {
            spec.domain.budget_unit: f"{record.budget_used:,}/{spec.phases * spec.protocol.samples:,}",
            "speed": f"{rate:,.0f}/s",
            "evaluation": self._evaluation or "–",
            "backward lag": f"{record.diagnostics['backward_lag_mean']:.1f}",
            "TV": f"{record.diagnostics['tv']:.3f}",
        }
        for name in _DROPPED:
            if name in record.metrics:
                facts[name.replace("_fraction", "")] = f"{record.metrics[name]:.1%}"
        return {**facts, "left": _duration(left)}

    def finish(self, run: Run) -> None:
        """See ``Sink.finish``."""
        self._stop_live()
        self._console.print(_summary(run, time.monotonic() - self._began))

    def close(self) -> None:
        """See ``Sink.close``."""
        self._stop_live()

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _heading(spec: RunSpec, path: Path, phases_done: int) -> RenderableType:
    p = spec.protocol
    epochs = "one pass" if p.forward == "split" else f"{p.updates // p.epoch_updates} epochs of {p.epoch_updates}"
    rows = {
        "task": f"{spec.task}{_options(spec.task_options)}",
        "lag": f"{p.lag} ({p.lag_mode})" if p.lag else "0 (synchronous)",
        "updates": f"{p.updates} a phase ({p.forward}: {epochs}, minibatches of {p.minibatch})",
        "phases": f"{spec.phases} of {p.actors} actors × {p.phase_steps} steps = {p.samples:,} {spec.domain.budget_unit}",
        "seed": str(spec.seed),
        "config": " ".join(f"{k}={v}" for k, v in spec.config.items()),
        "records": f"{path} ({spec.record})",
    }
    if phases_done:
        rows["resumed"] = f"after phase {phases_done} of {spec.phases}"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("algorithm", spec.algorithm.name)
    for name, text in rows.items():
        table.add_row(name, Text(text))
    return table


def _options(options: Mapping[str, object]) -> str:
    return "".join(f" {k}={v}" for k, v in options.items())


def _panel(facts: Mapping[str, str], done: int, total: int) -> RenderableType:
    bar = ProgressBar(total=total, completed=done, width=60)
    line = Text(" · ".join(f"{k} {v}" for k, v in facts.items()))
    return Group(bar, line)


def _summary(run: Run, seconds: float) -> RenderableType:
    summary = run.summary
    rows = {"status": run.status}
    if "diverged" in summary:
        at = summary["diverged"]
        rows["status"] += f" in phase {at['phase']}, update {at['update']}: {at['what']} is not finite"
    for name, label in (("mode", "final evaluation"), ("stochastic", "… with sampled actions")):
        if final := summary.get("final", {}).get(name):
            rows[label] = f"{final['mean']:.1f} ± {final['std']:.1f} over {final['episodes']} episodes"
    rows["time"] = _duration(seconds)
    rows["records"] = str(run.path)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, text in rows.items():
        table.add_row(label, Text(text))
    return table


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
