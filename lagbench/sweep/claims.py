"""Claims: at most one process works on a cell, among processes that share only its file system.

A claim is a file next to the cell's directory, ``<cell>.claim-<n>``, created exclusively; the one with the largest n is
valid. Its holder renews its modification time. A claim that is not renewed is stale, and is taken over by creating the
next one: exactly one of several processes succeeds, and none deletes a file that another may just have created. Claims
are deleted only when the cell is finished, so the cell's state must be read again after taking one.
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
    """The process that holds a claim.

    Attributes:
        host: the machine's name, for messages.
        kernel: ``pid`` is valid in processes with the same value; empty if unknown.
        pid: the process ID.
    """

    host: str
    kernel: str
    pid: int

    @classmethod
    def here(cls) -> Holder:
        """This process."""
        return cls(socket.gethostname(), _kernel(), os.getpid())

    def is_dead(self) -> bool:
        """Whether the process is known to have ended; False for processes of other machines."""
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
        """Renew the claim; False if another process has taken the cell over. Raises OSError."""
        if _file(self.cell, self.number + 1).exists():
            return False
        try:
            os.utime(_file(self.cell, self.number))
        except FileNotFoundError:
            return False
        return True

    def release(self) -> None:
        """Make the cell available to other processes at once."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(_file(self.cell, self.number), (_RELEASED, _RELEASED))


def take(cell: Path) -> Claim | None:
    """Claim a cell; None if another process holds it. Raises RecordError if the claim cannot be written."""
    with explained(cell.parent, "try again"):
        number = _latest(cell)
        if number and not _is_stale(_file(cell, number)):
            return None
        cell.parent.mkdir(parents=True, exist_ok=True)
        return _create(Claim(cell, number + 1))


def _create(claim: Claim) -> Claim | None:
    """Create the claim's file; None if it exists already."""
    try:
        descriptor = os.open(_file(claim.cell, claim.number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return None
    try:
        with open(descriptor, "wb", buffering=0) as out:
            out.write(json.dumps(asdict(Holder.here())).encode())
    except BaseException:
        claim.release()  # after closing the file, which may renew it
        raise
    return claim


def holder(cell: Path) -> Holder | None:
    """Return the holder of a cell; None if it can be claimed. Raises RecordError if claims cannot be read."""
    with explained(cell.parent, "try again"):
        number = _latest(cell)
        if not number or _is_stale(file := _file(cell, number)):
            return None
        return _holder(file) or Holder("another machine", "", 0)


def clear(cell: Path) -> None:
    """Delete the claims of a finished cell."""
    for file in cell.parent.glob(f"{glob.escape(cell.name)}.claim-*"):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def renewed(claim: Claim, lost: Callable[[], None]) -> Iterator[None]:
    """Renew a claim in a thread within this context; ``lost`` is called in that thread if the claim is taken over."""
    ended = threading.Event()

    def renew() -> None:
        last = time.monotonic()
        while not ended.wait(BEAT_S):
            try:
                held = claim.renew()
            except OSError:
                # The file system is unavailable: continue until the claim is stale to others.
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
        return False  # just cleared: the cell is finished
    if renewed_at == _RELEASED:
        return True
    by = _holder(file)
    return (by is not None and by.is_dead()) or _clock(file.parent) - renewed_at > STALE_S


def _holder(file: Path) -> Holder | None:
    try:
        return Holder(**json.loads(file.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None  # cleared or not written yet


def _clock(directory: Path) -> float:
    """The file system's time: clocks of machines may differ."""
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".clock-") as probe:
        return os.fstat(probe.fileno()).st_mtime


@functools.cache
def _kernel() -> str:
    """Identifies a boot of a machine and a PID namespace, within which process IDs are unique."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()
