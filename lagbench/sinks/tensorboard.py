"""Scalars for TensorBoard, in ``tensorboard/`` of the run's directory (extra ``lagbench[tensorboard]``)."""

from __future__ import annotations

from pathlib import Path

from lagbench.errors import UsageError
from lagbench.sinks.base import Sink
from lagbench.sinks.scalars import scalars
from lagbench.spec import RunSpec
from lagbench.training import PhaseResult

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError:
    raise UsageError("--log tensorboard needs an extra: pip install 'lagbench[tensorboard]'") from None


class TensorBoard(Sink):
    """Writes every scalar of a phase at the budget used so far."""

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        """See ``Sink.start``. After a resume, what was logged beyond the checkpoint is superseded."""
        self._writer = SummaryWriter(
            str(path / "tensorboard"), purge_step=phases_done * spec.protocol.samples + 1 if phases_done else None
        )

    def write(self, result: PhaseResult) -> None:
        """See ``Sink.write``."""
        for name, value in scalars(result).items():
            self._writer.add_scalar(name, value, result.record.budget_used)

    def close(self) -> None:
        """See ``Sink.close``."""
        self._writer.close()
