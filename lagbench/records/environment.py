"""environment.json: machine and versions of a run, with one entry per start or resume."""

from __future__ import annotations

import functools
import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lagbench import registry
from lagbench.errors import RecordError
from lagbench.machine import cores
from lagbench.records.checksums import is_whole, sealed
from lagbench.records.files import write_json
from lagbench.spec import RunSpec
from lagbench.tasks.spec import load_task

FILE = "environment.json"
PACKAGES = ("lagbench", "envpool", "gymnasium", "mujoco", "numpy", "pyarrow", "torch")
_EXACT = (
    "exact: the same specification with these package versions on this kind of CPU gives the same rows, bit for bit "
    "(EnvPool's thread count changes none)"
)
_STATISTICAL = "statistical: on another device than the CPU, the same specification gives rows of the same distribution"

_UNREPEATED = (
    "none: episodes of this task do not follow from seeds and actions (tried), so that nothing can be stepped again"
)
_ASYNCHRONOUS = (
    "none: which policy versions act follows from the speed of processes; from those that did the rows follow exactly, "
    "with --lag-mode trace:RUN"
)


def append_entry(run: Path, spec: RunSpec, *, threads: int, phase: int) -> None:
    """Append the entry of a process that records from ``phase`` on. ``threads``: EnvPool's, 0 for one per core."""
    file = run / FILE
    entries = read_entries(file) if file.exists() else []
    entry = _entry(spec, threads)
    entry |= {"phase": phase, "determinism": _determinism(spec, entry, entries)}
    write_json(file, [*entries, sealed(entry)])


def here(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """This process's environment: the versions of ``packages`` and of Python, the machine, and the available cores."""
    return {
        "packages": {name: installed(name) for name in packages},
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": cores(),
    }


def elsewhere(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The differences of ``entries`` from this environment that may affect simulations, as phrases."""
    now = here()
    found = {
        "EnvPool": (now["packages"]["envpool"], [entry["packages"].get("envpool") for entry in entries]),
        "the CPU": (now["cpu"], [entry.get("cpu") for entry in entries]),
        "the platform": (now["platform"], [entry.get("platform") for entry in entries]),
    }
    return [
        f"{what} {there} (here {own})"
        for what, (own, places) in found.items()
        for there in dict.fromkeys(places)
        if there != own
    ]


def read_entries(file: Path) -> list[dict[str, Any]]:
    """The entries of the file. Raises RecordError if it is damaged."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        whole = isinstance(entries, list) and all(isinstance(entry, dict) and is_whole(entry) for entry in entries)
    except OSError as error:
        raise RecordError(f"{file} cannot be read ({error.strerror}); restore it from a copy of the run") from error
    except ValueError as error:
        raise RecordError(f"{file} is not JSON ({error}); restore it from a copy of the run, or delete it") from error
    if not whole or not entries:
        raise RecordError(f"{file} is damaged: a checksum in it does not match; restore it from a copy of the run")
    return list(entries)


def _entry(spec: RunSpec, threads: int) -> dict[str, Any]:
    task = load_task(spec.task, spec.task_options)
    mode, _ = registry.distribution(spec.protocol.lag_mode, registry.LAG_MODE_GROUP)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **here(tuple(dict.fromkeys((*PACKAGES, *spec.domain.packages, *task.packages, mode)))),
        "device": spec.device,
        "torch_threads": spec.torch_threads,
        "envpool_threads": threads,
    }


@functools.cache
def installed(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
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
    """The level of determinism of a run's rows after its latest start, ``entry``."""
    if not spec.repeats:
        return _UNREPEATED
    if spec.is_asynchronous:
        return _ASYNCHRONOUS
    if spec.device != "cpu":
        return _STATISTICAL
    decisive = ("packages", "python", "cpu")
    changed = [name for name in decisive if any(earlier.get(name) != entry[name] for earlier in before)]
    if changed:
        return f"statistical: resumed with other {' and '.join(changed)}, the run gives rows of the same distribution"
    return _EXACT
