"""The resources available to this process, and the files that a run reads."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Outside:
    """Files that a run reads beyond Python and its source.

    Attributes:
        paths: paths of files and directories.
        environment: environment variables by which they are found.
    """

    paths: tuple[Path, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def cores() -> int:
    """The number of cores available to this process, from its affinity and the quota of its cgroup.

    Returns:
        At least 1.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return max(1, min(allowed, allowed if quota is None else math.ceil(quota)))


def memory() -> int:
    """The memory that this process can still use, from the system and the limit of its cgroup.

    Returns:
        Bytes.
    """
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = _fields(Path("/proc/meminfo")).get("MemAvailable:")
    limit = _room(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return min(x for x in (total, None if free is None else free << 10, limit) if x is not None)


def _quota(own: Path, root: Path) -> float | None:
    """The smallest quota of this process's cgroup (version 2) and its ancestors, in cores; None for no limit.

    ``own`` is the file that names the process's cgroup, ``root`` where cgroups are mounted.
    """
    granted = []
    for place in _groups(own, root):
        # Not every cgroup has this file; the root never has.
        with contextlib.suppress(OSError):
            quota, period = (place / "cpu.max").read_text(encoding="utf-8").split()
            if quota != "max":
                granted.append(int(quota) / int(period))
    return min(granted, default=None)


def _room(own: Path, root: Path) -> int | None:
    """The smallest remainder of those cgroups' limits, in bytes; None for no limit. The page cache counts as free."""
    left = []
    for place in _groups(own, root):
        with contextlib.suppress(OSError):
            limit = (place / "memory.max").read_text(encoding="utf-8").strip()
            if limit != "max":
                used = int((place / "memory.current").read_text(encoding="utf-8"))
                left.append(max(int(limit) - used + _fields(place / "memory.stat").get("inactive_file", 0), 0))
    return min(left, default=None)


def _groups(own: Path, root: Path) -> list[Path]:
    """The directories of this process's cgroup and its ancestors."""
    try:
        lines = own.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
    groups = [Path(line.removeprefix("0::/")) for line in lines if line.startswith("0::/")]
    return [root / place for group in groups for place in (group, *group.parents)]


def _fields(file: Path) -> dict[str, int]:
    """The numbers by name in a file with lines ``NAME NUMBER``; empty if there is no such file."""
    try:
        words = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return {}
    return {word[0]: int(word[1]) for word in words if len(word) > 1}
