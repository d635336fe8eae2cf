"""Wait until the threads of an environment pool sleep, so that the pool can be destroyed safely.

EnvPool (1.2.5) has a thread that prepares buffers for coming steps. Its destructor tells that thread to end and takes
one buffer to wake it. If the thread has added a buffer but not yet checked whether to end, and a step has taken that
buffer, no other follows, and the destructor waits forever while it holds the GIL (seen once in some thousand runs, and
reproduced with a debugger). A sleeping thread waits for space in a full stock, which is safe.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

_TASKS = Path("/proc/self/task")
_LOOK_EVERY_S = 0.0005


def threads() -> frozenset[str]:
    """The ids of this process's threads; empty if the system does not provide them."""
    return frozenset(os.listdir(_TASKS)) if _TASKS.exists() else frozenset()


def wait_until_asleep(ids: Iterable[str], timeout: float = 5.0) -> None:
    """Wait at most ``timeout`` seconds until each of these threads sleeps or has ended."""
    until = time.monotonic() + timeout
    while not all(map(_asleep, ids)) and time.monotonic() < until:
        time.sleep(_LOOK_EVERY_S)


def _asleep(thread: str) -> bool:
    try:
        fields = (_TASKS / thread / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    # The state follows the name, which is in parentheses and may contain any character.
    return fields.rpartition(")")[2].split()[0] == "S"
