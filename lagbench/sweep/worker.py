"""The process that runs one cell and keeps its claim."""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from lagbench.errors import LagbenchError, reason
from lagbench.records.files import explained
from lagbench.runner import Interrupted
from lagbench.sinks.base import Sink
from lagbench.source.files import Source
from lagbench.source.known import remember
from lagbench.spec import RunSpec
from lagbench.sweep import claims
from lagbench.sweep.cells import Go, go_on
from lagbench.training import PhaseResult

_TELL_EVERY_S = 0.2
_GENERAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


@dataclass(frozen=True)
class End:
    """A worker's last message. Its fields are those of ``executor.Ended``."""

    reason: str = ""
    elsewhere: bool = False
    is_general: bool = False


class Tell(Sink):
    """Sends the number of completed phases from time to time."""

    def __init__(self, parent: Connection) -> None:
        self._parent = parent
        self._last = 0.0

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """See ``Sink.start``."""
        self._send(phases_done)

    def write(self, result: PhaseResult) -> None:
        """See ``Sink.write``."""
        if time.monotonic() - self._last >= _TELL_EVERY_S:
            self._last = time.monotonic()
            self._send(result.record.phase + 1)

    def _send(self, phases: int) -> None:
        # The parent may be gone; then the run ends after this phase anyway.
        with contextlib.suppress(OSError):
            self._parent.send(phases)


def main(
    parent: Connection, spec: Mapping[str, Any], sources: Sequence[Source], path: Path, threads: int, go: Go = go_on
) -> None:
    """Run a cell with ``go``, unless another process holds it; the last message to ``parent`` says how it ended.

    SIGTERM stops it after the current phase, a second one at once. It also stops if its parent is gone or another
    process takes its cell over.
    """
    # Detached from the terminal: the sweep handles Ctrl-C and asks each cell to stop.
    os.setsid()
    signal.signal(signal.SIGTERM, _interrupt)
    log = log_file(path)
    try:
        with explained(log, "try again"):
            log.parent.mkdir(parents=True, exist_ok=True)
            _redirect(log)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        for source in sources:
            remember(source)
        end = _run(RunSpec.from_json(spec), path, threads, Tell(parent), go)
    except BaseException as error:
        end = explain(error)
    sys.stdout.flush()
    sys.stderr.flush()
    if log.exists() and not log.stat().st_size:
        log.unlink()
    with contextlib.suppress(OSError):
        parent.send(end)


def log_file(path: Path) -> Path:
    """The file with a cell's output, if it prints any."""
    return path.with_name(f"{path.name}.log")


def explain(error: BaseException) -> End:
    """The end message of a run that raised; prints a traceback to stderr if it may help."""
    if isinstance(error, Interrupted | KeyboardInterrupt):
        return End("interrupted")
    if not isinstance(error, LagbenchError):
        traceback.print_exception(error)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__
    return End(reason(error), is_general=cause is not None and cause.errno in _GENERAL)


def _run(spec: RunSpec, path: Path, threads: int, sink: Sink, go: Go) -> End:
    claim = claims.take(path)
    if claim is None:
        return End(elsewhere=True)
    lost = threading.Event()

    def end() -> None:
        lost.set()
        _end_after_the_phase()

    try:
        with claims.renewed(claim, lost=end):
            go(spec, path, threads=threads, sinks=[sink])
        claims.clear(path)
    except Interrupted:
        if not lost.is_set():
            raise
    finally:
        claim.release()
    return End(elsewhere=lost.is_set())


def _redirect(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.close(descriptor)
    faulthandler.enable()


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_after_the_phase() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    _end_after_the_phase()
