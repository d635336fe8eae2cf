"""Base class of sinks, and handling of their failures."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from lagbench import registry
from lagbench.errors import UsageError, unknown
from lagbench.records.reader import Run
from lagbench.spec import RunSpec
from lagbench.training import PhaseResult


class Sink:
    """Follows a run: it sees each phase after its records are committed. Subclasses override what they need.

    A sink that raises is reported and dropped; the run continues.
    """

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """Called before the first phase, or the first after a resume."""

    def write(self, result: PhaseResult) -> None:
        """Called after each phase."""

    def stopping(self) -> None:
        """Called from a signal handler, at any moment, if the run is to end after the current phase: only note it."""

    def finish(self, run: Run) -> None:
        """Called after the last phase, once the record is finished, and after ``close``."""

    def close(self) -> None:
        """Called after the last phase, also if the run fails or is interrupted."""


def make(sink: str | Sink) -> Sink:
    """A sink by its name, or the given one. Raises UsageError if the name is unknown or the extra is missing."""
    if isinstance(sink, Sink):
        return sink
    known = registry.sinks()
    if not isinstance(sink, str):
        raise UsageError(f"a sink is a lagbench.Sink or the name of one ({', '.join(known)}), not {sink!r}")
    if sink not in known:
        raise unknown("sink", sink, known)
    made: Sink = registry.load(known[sink])()
    return made


class Sinks:
    """Several sinks as one. A sink that raises is reported on stderr and dropped; the run continues."""

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = list(sinks)

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """See ``Sink.start``."""
        self._each(lambda s: s.start(spec, path, phases_done))

    def write(self, result: PhaseResult) -> None:
        """See ``Sink.write``."""
        self._each(lambda s: s.write(result))

    def stopping(self) -> None:
        """See ``Sink.stopping``."""
        self._each(lambda s: s.stopping())

    def finish(self, run: Run) -> None:
        """See ``Sink.finish``."""
        self._each(lambda s: s.finish(run))

    def close(self) -> None:
        """See ``Sink.close``."""
        self._each(lambda s: s.close())

    def _each(self, call: Callable[[Sink], None]) -> None:
        for sink in list(self._sinks):
            try:
                call(sink)
            except Exception as error:
                self._sinks.remove(sink)
                # Closing may fail too, and stderr may be closed.
                with contextlib.suppress(Exception):
                    sink.close()
                with contextlib.suppress(OSError, ValueError):
                    name = type(sink).__name__
                    print(f"warning: {name} failed and was dropped: {type(error).__name__}: {error}", file=sys.stderr)
