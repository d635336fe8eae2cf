"""Scalars for Trackio, in its local database or a Space (extra ``lagbench[trackio]``)."""

from __future__ import annotations

import os
from pathlib import Path

from lagbench.errors import UsageError
from lagbench.sinks.base import Sink
from lagbench.sinks.scalars import scalars, title
from lagbench.spec import RunSpec
from lagbench.training import PhaseResult

# Read when huggingface_hub is imported, which Trackio uses for Spaces.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
try:
    import trackio
except ImportError:
    raise UsageError("--log trackio needs an extra: pip install 'lagbench[trackio]'") from None


class Trackio(Sink):
    """Logs every scalar of a phase at the budget used so far, with the specification as the configuration.

    Trackio reads its environment variables itself, such as ``TRACKIO_DIR`` and ``TRACKIO_SPACE_ID``; the project is
    ``TRACKIO_PROJECT`` or ``lagbench``.
    """

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """See ``Sink.start``. A resumed run continues the run of its name; repeated phases appear twice."""
        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "lagbench"),
            name=title(path),
            config=spec.to_json(),
            resume="allow" if phases_done else "never",
            embed=False,
        )

    def write(self, result: PhaseResult) -> None:
        """See ``Sink.write``."""
        self._run.log(scalars(result), step=result.record.budget_used)

    def close(self) -> None:
        """See ``Sink.close``. Not only the run's own ``finish``, which Trackio would call again at exit, printing."""
        trackio.finish()
