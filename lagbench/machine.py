"""What this process may use of the machine that it runs on."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path


def cores() -> int:
    """The cores that this process may use: as its affinity and the quota of its control group have it.

    Returns:
        At least 1.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return max(1, min(allowed, allowed if quota is None else math.ceil(quota)))


def _quota(own: Path, root: Path) -> float | None:
    """The least that a control group (version 2) of this process or one above it grants, in cores; None for no limit.

    ``own`` names the group below ``root``, where the groups are mounted.
    """
    try:
        lines = own.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    granted = []
    for group in (Path(line.removeprefix("0::/")) for line in lines if line.startswith("0::/")):
        for place in (group, *group.parents):
            # Not every group has a say in it; the root of all has none.
            with contextlib.suppress(OSError):
                quota, period = (root / place / "cpu.max").read_text(encoding="utf-8").split()
                if quota != "max":
                    granted.append(int(quota) / int(period))
    return min(granted, default=None)
