"""The standard streams of a command: an unwritable result is an error, an unwritable message is dropped."""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

from lagbench.errors import LagbenchError


class _Results(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise  # not an error: the reader closed the pipe
        except OSError as error:
            discard_results()
            raise LagbenchError(
                f"the result cannot be written to stdout ({error.strerror}); redirect it to a file, a pipe or a "
                f"terminal"
            ) from error


class _Messages(io.FileIO):
    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def prepare() -> None:
    """Make stdout and stderr such streams, also if the process was started without them.

    Missing descriptors are then occupied, so that no file opened later gets one, and with it the output of libraries.
    """
    if sys.stdin is None:
        _open_nothing(os.O_RDONLY)
    if sys.stdout is sys.__stdout__:
        # If stdout is missing, a read-only descriptor makes writing to it an error.
        sys.stdout = _text(_Results, sys.stdout, os.O_RDONLY)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Messages, sys.stderr, os.O_WRONLY)


def discard_results() -> None:
    """Discard further output to stdout, so that Python's flush at exit does not fail again."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _text(kind: type[io.FileIO], given: TextIO | None, flags: int) -> TextIO:
    descriptor = _open_nothing(flags) if given is None else given.fileno()
    raw = kind(descriptor, "w", closefd=False)
    if not isinstance(given, io.TextIOWrapper):
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8")
    # Print paths as their bytes; unbuffered streams become line-buffered at least.
    errors = "surrogateescape" if given.errors == "strict" else given.errors
    by_line = given.line_buffering or given.write_through
    return io.TextIOWrapper(io.BufferedWriter(raw), given.encoding, errors, line_buffering=by_line)


def _open_nothing(flags: int) -> int:
    descriptor = os.open(os.devnull, flags)
    os.set_inheritable(descriptor, True)
    return descriptor
