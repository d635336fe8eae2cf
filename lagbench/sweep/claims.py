"""Claims: at most one process works on a cell, among processes that share only its file system.

A claim is a file beside the cell's directory, ``<cell>.claim-<n>``, created exclusively: the n-th of its cell, which
counts while no later one stands. Its holder renews its modification time. A claim that is not renewed is stale, and is
taken over by creating the next one, so that of several who try exactly one succeeds, and none ever deletes what
another may just have made. Only when the cell is finished do its claims go: who takes one has to look again.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from lagbench.records.files import explained

STALE_S = 600.0
BEAT_S = 30.0
_RELEASED = 0.0


@dataclass(frozen=True)
class Holder:
    """Who holds a claim.

    Attributes:
        host: the machine's name, for people.
        kernel: tells whether ``pid`` means the same process here; empty where that cannot be told.
        pid: the process.
    """

    host: str
    kernel: str
    pid: int

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        return cls(socket.gethostname(), _kernel(), os.getpid())

    def is_dead(self) -> bool:
        """Whether it is known to have ended: of another machine's processes that is never known."""
        if not self.kernel or self.kernel != _kernel():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return False


@dataclass(frozen=True)
class Claim:
    """The ``number``-th claim of a cell, held by this process."""

    cell: Path
    number: int

    def renew(self) -> bool:
        """Show that the holder lives; False where another has taken the cell over. Raises OSError."""
        if _file(self.cell, self.number + 1).exists():
            return False
        try:
            os.utime(_file(self.cell, self.number))
        except FileNotFoundError:
            return False
        return True

    def release(self) -> None:
        """Let the next one have the cell at once."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(_file(self.cell, self.number), (_RELEASED, _RELEASED))


def take(cell: Path) -> Claim | None:
    """Claim a cell; None where somebody else has it. Raises RecordError where that cannot be written."""
    with explained(cell.parent, "try again"):
        number = _latest(cell)
        if number and not _is_stale(_file(cell, number)):
            return None
        cell.parent.mkdir(parents=True, exist_ok=True)
        return _create(Claim(cell, number + 1))


def _create(claim: Claim) -> Claim | None:
    """Its file, unless another was first."""
    try:
        descriptor = os.open(_file(claim.cell, claim.number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return None
    try:
        with open(descriptor, "wb", buffering=0) as out:
            out.write(json.dumps(asdict(Holder.here())).encode())
    except BaseException:
        claim.release()  # only now: closing a file may renew it
        raise
    return claim


def holder(cell: Path) -> Holder | None:
    """Who has a cell; None where it can be taken. Raises RecordError where that cannot be told."""
    with explained(cell.parent, "try again"):
        number = _latest(cell)
        if not number or _is_stale(file := _file(cell, number)):
            return None
        return _holder(file) or Holder("another machine", "", 0)


def clear(cell: Path) -> None:
    """Delete the claims of a cell that is finished."""
    for file in cell.parent.glob(f"{glob.escape(cell.name)}.claim-*"):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def renewed(claim: Claim, lost: Callable[[], None]) -> Iterator[None]:
    """Renew a claim from a thread for as long as this lasts; ``lost`` is called there where another took it over."""
    ended = threading.Event()

    def renew() -> None:
        last = time.monotonic()
        while not ended.wait(BEAT_S):
            try:
                held = claim.renew()
            except OSError:
                # The file system is away. So long as others may not think this process dead, it goes on.
                held = time.monotonic() - last < STALE_S
            else:
                last = time.monotonic()
            if not held:
                lost()
                return

    thread = threading.Thread(target=renew, name=f"claim of {claim.cell}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _file(cell: Path, number: int) -> Path:
    return cell.with_name(f"{cell.name}.claim-{number}")


def _latest(cell: Path) -> int:
    number = 0
    while _file(cell, number + 1).exists():
        number += 1
    return number


def _is_stale(file: Path) -> bool:
    try:
        renewed_at = file.stat().st_mtime
    except FileNotFoundError:
        return False  # cleared just now: the cell is finished
    if renewed_at == _RELEASED:
        return True
    by = _holder(file)
    return (by is not None and by.is_dead()) or _clock(file.parent) - renewed_at > STALE_S


def _holder(file: Path) -> Holder | None:
    try:
        return Holder(**json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None  # cleared, or not written yet


def _clock(directory: Path) -> float:
    """The time of the file system that a directory is on: machines may disagree about it."""
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".clock-") as probe:
        return os.fstat(probe.fileno()).st_mtime


@functools.cache
def _kernel() -> str:
    """One start of one machine, and within it one container: a process id means one process there."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()
