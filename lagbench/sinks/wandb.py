"""Scalars for Weights & Biases, online or in ``wandb/`` of the run's directory (extra ``lagbench[wandb]``)."""

from __future__ import annotations

import os
from pathlib import Path

from lagbench.errors import UsageError
from lagbench.sinks.base import Sink
from lagbench.sinks.scalars import scalars, title
from lagbench.spec import RunSpec
from lagbench.training import PhaseResult

# Read on import: disables reports of wandb's errors to its developers.
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
try:
    import wandb
except ImportError:
    raise UsageError("--log wandb needs an extra: pip install 'lagbench[wandb]'") from None


class WandB(Sink):
    """Logs every scalar of a phase at the budget used so far, with the specification as the configuration.

    wandb reads its environment variables itself; without ``WANDB_PROJECT`` the project is ``lagbench``.
    """

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """See ``Sink.start``. A resumed run continues the same W&B run, found by its files in ``wandb/``."""
        before = sorted((path / "wandb").glob("*run-*-*")) if phases_done else []
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "lagbench"),
            name=os.environ.get("WANDB_NAME", title(path)),
            dir=path,
            id=before[-1].name.rpartition("-")[2] if before else None,
            resume="allow",
            config=spec.to_json(),
            # Do not capture stdout: the display is the console sink's, other output the algorithm's.
            settings=wandb.Settings(console="off"),
        )

    def write(self, result: PhaseResult) -> None:
        """See ``Sink.write``."""
        self._run.log(scalars(result), step=result.record.budget_used)

    def close(self) -> None:
        """See ``Sink.close``."""
        self._run.finish()
