"""One JSON line a phase, in ``log.jsonl`` of the run's directory."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TextIO

from lagbench.records.reader import Run
from lagbench.sinks.scalars import scalars
from lagbench.spec import RunSpec
from lagbench.training import PhaseResult


class JsonLines:
    """Appends to ``log.jsonl``; a number that is not finite is written as null."""

    def __init__(self) -> None:
        self._file: TextIO | None = None

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """See ``Sink.start``."""
        self._file = (path / "log.jsonl").open("a")

    def write(self, result: PhaseResult) -> None:
        """See ``Sink.write``."""
        assert self._file is not None
        record = result.record
        row = {k: (v if math.isfinite(v) else None) for k, v in scalars(result).items()}
        self._file.write(json.dumps({"phase": record.phase, "budget_used": record.budget_used, **row}) + "\n")
        self._file.flush()

    def finish(self, run: Run) -> None:
        """See ``Sink.finish``."""

    def close(self) -> None:
        """See ``Sink.close``."""
        if self._file is not None:
            self._file.close()
