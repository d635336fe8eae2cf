"""Atomic writing of files, and file-system errors as one sentence."""

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
"""The status of a finished run."""
SCORED: tuple[Status, ...] = ("completed", "diverged")
"""The statuses of runs that are scored: divergence is a result."""
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
    """Yield a file that replaces ``file`` atomically and durably at the end; on failure ``file`` is unchanged."""
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
    """Flush a directory's entries to disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(file: Path, data: Any) -> None:
    """Write JSON atomically. Non-finite numbers are written as Python does (NaN, Infinity); see ``finite``."""
    text = json.dumps(data, indent=2, ensure_ascii=False)
    with replacing(file) as out:
        # Surrogates, from bytes of a path in another encoding, are written as JSON escapes.
        out.write(text.encode(errors="backslashreplace") + b"\n")


def finite(data: Any) -> Any:
    """The document with null for non-finite numbers, which JSON lacks, and lists for tuples."""
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {k: finite(v) for k, v in data.items()}
    if isinstance(data, Sequence) and not isinstance(data, str):
        return [finite(v) for v in data]
    return data


def resume_command(run: Path) -> str:
    """The command that resumes a run."""
    return f"lagbench resume {shlex.quote(str(run))}"


@contextlib.contextmanager
def explained(what: Path, then: str) -> Iterator[None]:
    """Turn an OSError while writing ``what``, or the file that it names, into a RecordError that says what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "fix this")
        raise RecordError(
            f"cannot write {error.filename or what} ({error.strerror or error}); {hint}, then {then}"
        ) from error


def check_writable(out: Path, then: str, *, into: bool = False) -> None:
    """Raise RecordError if ``out``, or with ``into`` a file in it, cannot be written. To be called before long work.

    Tries the nearest existing directory and leaves nothing behind.
    """
    with explained(out, then):
        if out.exists() and not (out.is_file() or out.is_dir()):  # such as a device, which a rename would replace
            raise FileExistsError(errno.EEXIST, "it is neither a file nor a directory", str(out))
        place = out if into else out.parent
        while not place.exists():
            place = place.parent
        try:
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            error.filename = None  # that of the temporary file
            raise


@contextlib.contextmanager
def locked(file: Path, run: Path) -> Iterator[None]:
    """Hold the lock of a run. The operating system releases it when the process ends, even if killed.

    Raises RecordError if another process holds it.
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
