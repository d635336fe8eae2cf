"""One JSON line per phase, in ``log.jsonl`` of the run's directory."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TextIO

from lagbench.sinks.base import Sink
from lagbench.sinks.scalars import scalars
from lagbench.spec import RunSpec
from lagbench.training import PhaseResult


class JsonLines(Sink):
    """Appends to ``log.jsonl``; non-finite numbers are written as null."""

    def __init__(self) -> None:
        self._file: TextIO | None = None

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """See ``Sink.start``. After a resume it is continued, without lines of phases that are repeated."""
        self._file = (path / "log.jsonl").open("a", encoding="utf-8")

    def write(self, result: PhaseResult) -> None:
        """See ``Sink.write``."""
        assert self._file is not None
        record = result.record
        row = {k: (v if math.isfinite(v) else None) for k, v in scalars(result).items()}
        self._file.write(json.dumps({"phase": record.phase, "budget_used": record.budget_used, **row}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """See ``Sink.close``."""
        if self._file is not None:
            self._file.close()
