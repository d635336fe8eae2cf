"""Atomic writing of files, and errors of the file system as one sentence."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

from lagbench.errors import RecordError

SPEC_FILE = "spec.json"
RESULT_FILE = "result.json"
POLICY_FILE = "policy.safetensors"
TABLE_FILE = "data.arrow"
CHECKPOINT_FILE = "checkpoint/state.pt"
LOCK_FILE = ".lock"
TEMPORARY = ".tmp"
Status = Literal["completed", "diverged", "failed"]
"""Of a finished run."""
SCORED: tuple[Status, ...] = ("completed", "diverged")
"""With these a run is a result: divergence is one too."""
_HINTS = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "allow larger files",
    errno.EROFS: "make that file system writable",
    errno.EACCES: "allow writing there",
    errno.EEXIST: "move it away",
    errno.ENOTDIR: "move away what is not a directory",
}


@contextlib.contextmanager
def replacing(file: Path) -> Iterator[IO[bytes]]:
    """A file to write to that takes the place of ``file`` at the end, on disk, or leaves it as it was."""
    temporary = file.with_name(file.name + TEMPORARY)
    try:
        with temporary.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Have the names in a directory reach the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(file: Path, data: Any) -> None:
    """Write JSON, whole or not at all. A number that is not finite becomes what Python reads: see ``finite``."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    with replacing(file) as out:
        # What is no character, as a byte of a path in another encoding, becomes the escape that JSON has for it.
        out.write(text.encode(errors="backslashreplace") + b"\n")


def finite(data: Any) -> Any:
    """A document with null in place of numbers that are not finite, which JSON lacks, and lists in place of tuples."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {k: finite(v) for k, v in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, str):
        return [finite(v) for v in data]
    return data


def resume_command(run: Path) -> str:
    """What to type to go on with a run."""
    return f"lagbench resume {shlex.quote(str(run))}"


@contextlib.contextmanager
def explained(what: Path, then: str) -> Iterator[None]:
    """OSError while writing ``what``, or the file that the error names, as a RecordError that says what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "mend that")
        raise RecordError(
            f"cannot write {error.filename or what} ({error.strerror or error}); {hint}, then {then}"
        ) from error


def check_writable(out: Path, then: str, *, into: bool = False) -> None:
    """Raise RecordError where ``out`` cannot be written, or with ``into`` files in it. To be asked before work begins.

    Tried is the nearest directory that there is; nothing is left of the try.
    """
    with explained(out, then):
        if out.exists() and not (out.is_file() or out.is_dir()):  # a device, which a rename would replace
            raise FileExistsError(errno.EEXIST, "it is neither a file nor a directory", str(out))
        place = out if into else out.parent
        while not place.exists():
            place = place.parent
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            error.filename = None  # of the try
            raise


@contextlib.contextmanager
def locked(file: Path, run: Path) -> Iterator[None]:
    """Hold the lock of a run. The operating system lets go of it when the process ends, however it ends.

    Raises RecordError where another process has it.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecordError(
                f"another process is writing the run {run}; wait for it or stop it, or give another directory"
            ) from None
        yield
    finally:
        os.close(descriptor)
