"""Checkpoints: one file, replaced atomically, and the buffer's versions and stored rollouts, each written once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lagbench.errors import RecordError
from lagbench.records import envelope
from lagbench.records.files import CHECKPOINT_FILE, explained, resume_command
from lagbench.spec import RunSpec

_STATE = Path(CHECKPOINT_FILE).name
_ONCE = {"versions": "version", "stored": "stored"}
"""The parts of a state that map numbers to tensors that never change, and the prefixes of their file names."""


@dataclass(frozen=True)
class Saved:
    """The content of a checkpoint.

    Attributes:
        spec: the specification that the run started with, even if its spec.json has changed.
        state: the state after the last phase, an argument of ``train``.
        committed: the committed batches of each table, from ``RunWriter.committed``.
    """

    spec: RunSpec
    state: dict[str, Any]
    committed: dict[str, int]


class Checkpoint:
    """The checkpoint of one run, in its own directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Files of this run; others, left by a kill, may be of phases that will be repeated.
        self._written: set[str] = set()

    def save(self, spec: RunSpec, state: Mapping[str, Any], committed: Mapping[str, int]) -> None:
        """Write a checkpoint after a phase; the previous one stays valid until it is complete.

        Raises RecordError if it cannot be written.
        """
        files = {_file(part, n): x for part in _ONCE for n, x in state.get(part, {}).items()}
        with explained(self._directory, f"resume with: {resume_command(self._directory.parent)}"):
            self._directory.mkdir(exist_ok=True)
            for name in files.keys() - self._written:
                _write(self._directory / name, dict(files[name]))
            data = {
                "spec": json.dumps(spec.to_json()),
                "state": {k: v for k, v in state.items() if k not in _ONCE},
                **{part: list(state.get(part, {})) for part in _ONCE},
                "committed": dict(committed),
            }
            _write(self._directory / _STATE, data)
            self._written = set(files)
            for file in self._directory.glob("*-*.pt"):
                if file.name not in files:
                    file.unlink()

    def load(self) -> Saved | None:
        """The last checkpoint, or None. Raises RecordError if it cannot be read."""
        file = self._directory / _STATE
        if not file.exists():
            return None
        try:
            data = _read(file)
            # Older checkpoints have no stored rollouts.
            files = {part: {n: _file(part, n) for n in data.get(part, ())} for part in _ONCE}
            parts = {part: {n: _read(self._directory / x) for n, x in own.items()} for part, own in files.items()}
            spec = RunSpec.from_json(json.loads(data["spec"]))
            saved = Saved(spec, {**data["state"], **parts}, dict(data["committed"]))
        except Exception as error:
            reason = " ".join(str(error).split())
            raise RecordError(
                f"the checkpoint in {self._directory} cannot be read ({reason}); restore it from a copy of the run, "
                f"or delete that directory to start from the beginning with: {resume_command(self._directory.parent)}"
            ) from error
        self._written = {x for own in files.values() for x in own.values()}
        return saved

    def remove(self) -> None:
        """Delete the checkpoint, if any, when the run has ended."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _file(part: str, number: int) -> str:
    return f"{_ONCE[part]}-{number}.pt"


def _write(file: Path, data: Mapping[str, Any]) -> None:
    # Readers of an unfinished run check that its tables contain at least this much.
    about = {name: data[name] for name in ("committed",) if name in data}
    with envelope.writing(file, about) as out:
        torch.save(data, out)


def _read(file: Path) -> Any:
    # Mapped to the CPU, so that machines without CUDA can read it; the learner moves it to its device.
    with envelope.reading(file) as content:
        return torch.load(content, weights_only=True, map_location="cpu")
