"""Shared by commands on runs: finding one, the start message, sinks, and the final output."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lagbench.errors import LagbenchError, RecordError, UsageError

if TYPE_CHECKING:
    from lagbench.records.reader import Run
    from lagbench.sinks.base import Sink
    from lagbench.sweep.watcher import Watcher


@contextlib.contextmanager
def starting(quiet: bool) -> Iterator[None]:
    """Show a message while torch and EnvPool are loaded, which takes seconds."""
    shown = not quiet and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if shown:
        click.echo("starting…", err=True, nl=False)
    try:
        yield
    finally:
        if shown:
            click.echo("\r\x1b[K", err=True, nl=False)


def run_directory(text: str) -> Path:
    """The directory of a run, given as a path, a path below runs/, or the last part of one. Raises UsageError."""
    from lagbench.records.reader import find_run

    try:
        return find_run(text)
    except RecordError as error:
        # No record is faulty: none has that name.
        raise UsageError(str(error)) from None


def make_sinks(log: Sequence[str], quiet: bool) -> list[Sink]:
    """The sinks that the options ask for. Raises UsageError for an unknown one or a missing extra."""
    from lagbench.sinks.base import make

    return [make(name) for name in dict.fromkeys([*([] if quiet else ["console"]), *log])]


def board(out: Path, quiet: bool) -> Watcher:
    """The display of a sweep's progress."""
    from lagbench.sweep.board import Board
    from lagbench.sweep.watcher import Watcher

    return Watcher() if quiet else Board(out)


def stdout_free() -> contextlib.AbstractContextManager[object]:
    """Redirect to stderr what algorithms or Ray print during runs: stdout is for the result."""
    return contextlib.redirect_stdout(sys.stderr)


@contextlib.contextmanager
def sweeping() -> Iterator[None]:
    """Keep stdout for the result while cells run, and add to an error that ends them early how to resume."""
    try:
        with stdout_free():
            yield
    except UsageError:
        raise
    except LagbenchError as ended:
        ended.add_note(f"resume with: {shlex.join(['lagbench', *sys.argv[1:]])}")
        raise


def finished(run: Run, as_json: bool) -> int:
    """Print a finished run's result on stdout; return the exit code."""
    from lagbench.sinks import description

    if run.status == "diverged":
        click.echo(description.divergence(run), err=True)
    if as_json:
        document = {"path": str(run.path), "status": run.status, "spec": run.spec.to_json(), "result": run.result}
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo(str(run.path))
    return 3 if run.status == "diverged" else 0
