"""environment.json: where and with what a run ran, one entry each time that it was started or resumed."""

from __future__ import annotations

import functools
import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lagbench.errors import RecordError
from lagbench.records.files import write_json
from lagbench.spec import RunSpec

FILE = "environment.json"
PACKAGES = ("lagbench", "envpool", "gymnasium", "mujoco", "numpy", "pyarrow", "torch")
_EXACT = (
    "exact: the same specification with these package versions on this kind of CPU gives the same rows, bit for bit "
    "(EnvPool's thread count changes none)"
)
_STATISTICAL = "statistical: on another device than the CPU, the same specification gives rows of the same distribution"


def append_entry(run: Path, spec: RunSpec, *, threads: int, phase: int) -> None:
    """Write down the start of a process that records from ``phase`` on. ``threads``: EnvPool's, 0 for one a core."""
    file = run / FILE
    try:
        entries: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    except ValueError as error:
        raise RecordError(f"{file} is not JSON ({error}); restore it from a copy of the run, or delete it") from error
    entry = _entry(spec, threads)
    entry |= {"phase": phase, "determinism": _determinism(spec, entry, entries)}
    write_json(file, [*entries, entry])


def _entry(spec: RunSpec, threads: int) -> dict[str, Any]:
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": {name: _installed(name) for name in PACKAGES},
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "device": spec.device,
        "torch_threads": spec.torch_threads,
        "envpool_threads": threads,
    }


@functools.cache
def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _determinism(spec: RunSpec, entry: dict[str, Any], before: list[dict[str, Any]]) -> str:
    """Which promise holds for the rows of a run whose latest start is ``entry``."""
    if spec.device != "cpu":
        return _STATISTICAL
    decisive = ("packages", "python", "cpu")
    changed = [name for name in decisive if any(earlier.get(name) != entry[name] for earlier in before)]
    if changed:
        return f"statistical: resumed with other {' and '.join(changed)}, the run gives rows of the same distribution"
    return _EXACT
