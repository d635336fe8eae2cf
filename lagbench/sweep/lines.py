"""Cells as shell commands, for external schedulers."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from lagbench.records.files import resume_command
from lagbench.sweep.cells import Planned, State

_FLAGS = {"config": "--set", "task_options": "--task-set", "lag_options": "--lag-set"}


def command(cell: Planned, state: State) -> str:
    """The shell command that runs or resumes a cell, with the sweep's spec and directory."""
    if state.status == "unfinished":
        return resume_command(cell.path)
    return shlex.join(["lagbench", "run", *_arguments(cell.options), "--out", str(cell.path)])


def _arguments(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield from (flag, f"{key}={inner}")
        else:
            yield from (flag, ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
