"""What a resume needs, on disk: one atomic file a phase, and the buffer's versions, each written once."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lagbench.errors import RecordError

_STATE = "state.pt"


class Checkpoint:
    """The checkpoint of one run, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Known to be those of this run: what a kill left beside them may be of phases that will be made again.
        self._versions: set[int] = set()

    def save(self, state: Mapping[str, Any], committed: Mapping[str, int]) -> None:
        """Write the state after a phase and how much of the records belongs to it.

        What was there before stays valid until then. Raises RecordError where the disk will not take it.
        """
        versions: Mapping[int, Mapping[str, torch.Tensor]] = state["versions"]
        try:
            self._directory.mkdir(exist_ok=True)
            for number in versions.keys() - self._versions:
                _write(self._version_file(number), dict(versions[number]))
            rest = {k: v for k, v in state.items() if k != "versions"}
            _write(self._directory / _STATE, {"state": rest, "versions": list(versions), "committed": dict(committed)})
            self._versions = set(versions)
            for file in self._directory.glob("version-*.pt"):
                if int(file.stem.removeprefix("version-")) not in versions:
                    file.unlink()
        except OSError as error:
            raise RecordError(
                f"the checkpoint in {self._directory} cannot be written: {error.strerror or error}"
            ) from error

    def load(self) -> tuple[dict[str, Any], dict[str, int]] | None:
        """The last state and its committed counts; None where no phase was finished.

        Raises RecordError where it cannot be read.
        """
        file = self._directory / _STATE
        if not file.exists():
            return None
        try:
            data = torch.load(file, weights_only=True)
            versions = {n: torch.load(self._version_file(n), weights_only=True) for n in data["versions"]}
            state, committed = {**data["state"], "versions": versions}, dict(data["committed"])
        except Exception as error:
            reason = " ".join(str(error).split())
            raise RecordError(
                f"the checkpoint in {self._directory} cannot be read ({reason}); start a new run"
            ) from error
        self._versions = set(versions)
        return state, committed

    def remove(self) -> None:
        """Delete it, where there is one: the run has ended."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _version_file(self, number: int) -> Path:
        return self._directory / f"version-{number}.pt"


def _write(file: Path, data: Any) -> None:
    buffer = io.BytesIO()
    torch.save(data, buffer)
    temporary = file.with_suffix(".tmp")
    temporary.write_bytes(buffer.getbuffer())
    os.replace(temporary, file)
