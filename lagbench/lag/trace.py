"""The lag of a recorded run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.lag import traces
from lagbench.lag.base import LagMode


class Trace(LagMode):
    """Exactly the versions of a trace: ``trace:RUN``, or ``trace:FILE`` (docs/lag.md)."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The trace, by the SHA-256 of its file."""

        trace_sha256: str = ""

    @classmethod
    def preset(cls, argument: str) -> Mapping[str, Any]:
        """See ``LagMode.preset``."""
        return {"trace_sha256": traces.pin(argument)}

    def largest(self, phases: int) -> int:
        """See ``LagMode.largest``. Raises UsageError if the trace has another number of phases or actors."""
        found = traces.versions(self.config.trace_sha256)
        traces.check_shape(found, phases, self.protocol.actors)
        return int((np.arange(phases)[:, None] - found).max())

    def versions(self, phase: int) -> NDArray[np.int64]:
        """See ``LagMode.versions``."""
        held: NDArray[np.int64] = traces.versions(self.config.trace_sha256)[phase]
        return held
