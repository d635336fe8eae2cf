"""What a lag mode is: who acts with which policy version."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.errors import UsageError
from lagbench.protocol import Protocol


class LagMode(ABC):
    """Gives each actor a policy version for each phase, all of them following from protocol, seed and phase.

    An entry point in the group ``lagbench.lag_modes`` makes one known by its name (docs/lag.md).

    Args:
        protocol: ``actors`` and ``lag`` most of all, and the mode's own options.
        seed: of the run; what is random comes from ``lagbench.seeding``.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The options of the mode, as those of an algorithm are declared; all of them stand in the protocol."""

    def __init__(self, protocol: Protocol, seed: int) -> None:
        self.protocol = protocol
        self.seed = seed
        self.config: Any = self.Config(**protocol.lag_options)

    @classmethod
    def preset(cls, argument: str) -> Mapping[str, Any]:
        """What ``NAME:argument`` sets of the options. Raises UsageError for what is none."""
        raise UsageError(f"this lag mode takes nothing behind a colon, and {argument!r} stands there; leave it out")

    def largest(self, phases: int) -> int:
        """The largest lag over so many phases: what the run says as its ``lag``. By default ``--lag`` says it."""
        return self.protocol.lag

    @abstractmethod
    def versions(self, phase: int) -> NDArray[np.int64]:
        """The version [actors] that each actor holds: ``phase`` is the learner's, and ``phase - lag`` the oldest."""
