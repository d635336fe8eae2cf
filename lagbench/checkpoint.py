"""What a resume needs, on disk: one atomic file a phase, and the buffer's versions, each written once."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lagbench.errors import RecordError

_STATE = "state.pt"


def save(directory: Path, state: Mapping[str, Any], committed: Mapping[str, int]) -> None:
    """Write the state after a phase and how much of the records belongs to it; what came before stays valid until then.

    Raises RecordError where the disk will not take it.
    """
    versions: Mapping[int, Mapping[str, torch.Tensor]] = state["versions"]
    try:
        directory.mkdir(exist_ok=True)
        for number, tensors in versions.items():
            if not _version_file(directory, number).exists():
                _write(_version_file(directory, number), dict(tensors))
        rest = {k: v for k, v in state.items() if k != "versions"}
        _write(directory / _STATE, {"state": rest, "versions": list(versions), "committed": dict(committed)})
        for file in directory.glob("version-*.pt"):
            if int(file.stem.removeprefix("version-")) not in versions:
                file.unlink()
    except OSError as error:
        raise RecordError(f"the checkpoint in {directory} cannot be written: {error.strerror or error}") from error


def load(directory: Path) -> tuple[dict[str, Any], dict[str, int]] | None:
    """The last state and its committed counts, or None where no phase was finished. Raises RecordError if unreadable."""
    file = directory / _STATE
    if not file.exists():
        return None
    try:
        data = torch.load(file, weights_only=True)
        versions = {n: torch.load(_version_file(directory, n), weights_only=True) for n in data["versions"]}
    except Exception as error:
        raise RecordError(f"the checkpoint in {directory} cannot be read: {error}; start a new run") from error
    return {**data["state"], "versions": versions}, data["committed"]


def _version_file(directory: Path, number: int) -> Path:
    return directory / f"version-{number}.pt"


def _write(file: Path, data: Any) -> None:
    buffer = io.BytesIO()
    torch.save(data, buffer)
    temporary = file.with_suffix(".tmp")
    temporary.write_bytes(buffer.getbuffer())
    os.replace(temporary, file)
