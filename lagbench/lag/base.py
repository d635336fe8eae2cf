"""The base class of lag modes, which assign policy versions to actors."""

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
    """Assigns each actor a policy version for each phase, determined by protocol, seed and phase.

    Registered under a name by an entry point in the group ``lagbench.lag_modes`` (docs/lag.md).

    Args:
        protocol: the protocol, with ``actors``, ``lag`` and the mode's options.
        seed: the run's seed; draw random numbers through ``lagbench.seeding``.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The options of the mode, declared like an algorithm's ``Config``; all are part of the protocol.

        With an option ``inflight`` that is true, versions change within an episode: see ``by_step``.
        """

    def __init__(self, protocol: Protocol, seed: int) -> None:
        self.protocol = protocol
        self.seed = seed
        self.config: Any = self.Config(**protocol.lag_options)

    @classmethod
    def preset(cls, argument: str) -> Mapping[str, Any]:
        """The options set by ``NAME:argument``. Raises UsageError for an invalid argument."""
        raise UsageError(f"this lag mode takes no argument after a colon, but {argument!r} was given; leave it out")

    def largest(self, phases: int) -> int:
        """The largest lag over this many phases, recorded as the run's ``lag``; by default the value of ``--lag``."""
        return self.protocol.lag

    @property
    def in_flight(self) -> bool:
        """Whether the mode has an option ``inflight`` that is true."""
        return bool(getattr(self.config, "inflight", False))

    def by_step(self, phase: int, steps: int) -> NDArray[np.int64]:
        """The version of each actor at each step of its episodes, [steps, actors]; ``steps`` is the longest episode.

        Step 0 has the result of ``versions``; versions never decrease with steps. Called only if ``in_flight``.
        """
        return np.tile(self.versions(phase), (steps, 1))

    @abstractmethod
    def versions(self, phase: int) -> NDArray[np.int64]:
        """The version of each actor, [actors], from ``phase - lag`` to ``phase``, the learner's version."""
