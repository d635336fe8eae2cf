"""When the threads of a pool of environments rest, so that it can be let go.

EnvPool (1.2.5) has a thread that makes buffers in stock for the steps to come. Its destructor tells that thread to
end, and takes one buffer to wake it. Where the thread has put a buffer but not yet looked whether to end, and a step
has taken that buffer, none comes any more, and the destructor waits for ever with Python's lock (seen once in some
thousand runs, and brought about with a debugger). Asleep, the thread waits for room in a full stock, and all is well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

_TASKS = Path("/proc/self/task")
_LOOK_EVERY_S = 0.0005


def threads() -> frozenset[str]:
    """The ids of this process's threads; none where the system does not say."""
    return frozenset(os.listdir(_TASKS)) if _TASKS.exists() else frozenset()


def wait_until_asleep(ids: Iterable[str], timeout: float = 5.0) -> None:
    """Wait until each of these threads sleeps or is gone, at most ``timeout`` seconds."""
    until = time.monotonic() + timeout
    while not all(map(_asleep, ids)) and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)


def _asleep(thread: str) -> bool:
    try:
        fields = (_TASKS / thread / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    # The name comes before the state, in parentheses, and may hold any character.
    return fields.rpartition(")")[2].split()[0] == "S"
