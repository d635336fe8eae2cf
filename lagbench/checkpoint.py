"""What a resume needs, on disk: one atomic file, and the buffer's versions and stored rollouts, each written once."""

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
"""What of a state is tensors by number, which never change; and how their files begin."""


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds.

    Attributes:
        spec: what the run began with, whatever became of its spec.json.
        state: after the last phase, as ``train`` takes it.
        committed: how much of the records belongs to it, as the writer counts.
    """

    spec: RunSpec
    state: dict[str, Any]
    committed: dict[str, int]


class Checkpoint:
    """The checkpoint of one run, in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # Known to be those of this run: what a kill left beside them may be of phases that will be made again.
        self._written: set[str] = set()

    def save(self, spec: RunSpec, state: Mapping[str, Any], committed: Mapping[str, int]) -> None:
        """Write it after a phase; what was there before stays valid until it is written.

        Raises RecordError where the disk will not take it.
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
        """What was saved last; None where nothing was. Raises RecordError where it cannot be read."""
        file = self._directory / _STATE
        if not file.exists():
            return None
        try:
            data = _read(file)
            # Of a checkpoint of before there was a store there is none.
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
        """Delete it, where there is one: the run has ended."""
        shutil.rmtree(self._directory, ignore_errors=True)


def _file(part: str, number: int) -> str:
    return f"{_ONCE[part]}-{number}.pt"


def _write(file: Path, data: Mapping[str, Any]) -> None:
    # A reader of the records looks at this too: they hold at least so much.
    about = {name: data[name] for name in ("committed",) if name in data}
    with envelope.writing(file, about) as out:
        torch.save(data, out)


def _read(file: Path) -> Any:
    # Whoever takes it moves it: a machine without CUDA reads what one with it wrote, and says so itself.
    with envelope.reading(file) as content:
        return torch.load(content, weights_only=True, map_location="cpu")
