"""Collectors: receive a run's policy versions and return its data phase by phase."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lagbench.actors.base import Actors, Collection
from lagbench.lag import staleness
from lagbench.lag.policy_buffer import PolicyBuffer
from lagbench.policies.base import Version
from lagbench.spec import RunSpec


@dataclass(frozen=True)
class Collected:
    """A phase's data, each actor's version [N], and the collector's diagnostics and wall-clock seconds by name."""

    versions: NDArray[np.int64]
    collection: Collection
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


class Collector(ABC):
    """Collects each phase with published policy versions, of which it keeps the last lag + 1."""

    def __init__(self, spec: RunSpec, actors: Actors, lag: int) -> None:
        self._spec = spec
        self._actors = actors
        self._buffer = PolicyBuffer(lag)

    @abstractmethod
    def publish(self, version: Version, updates_made: int) -> None:
        """Take in the learner's new version, made with ``updates_made`` optimizer updates since the last one."""

    def newest(self) -> Version:
        """The last published version. Raises AlgorithmError if its tensors have changed since."""
        return self._buffer.acting([self._buffer.newest])[0]

    def sha256(self) -> str:
        """The SHA-256 of the newest version at the time of publishing."""
        return self._buffer.sha256(self._buffer.newest)

    @abstractmethod
    def collect(self, phase: int) -> Collected:
        """Collect the data of a phase. Raises AlgorithmError if an acting version has changed since publishing."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """State needed to resume, in addition to the spec and the learner: ``actors``, and ``versions`` by number."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state in a new collector, before anything is published to it."""

    def close(self) -> None:  # noqa: B027 - most have nothing to end
        """Release resources; called after the last phase."""


class Lockstep(Collector):
    """Synchronous loop: actors and learner alternate; the lag mode assigns versions to actors."""

    def __init__(self, spec: RunSpec, actors: Actors) -> None:
        super().__init__(spec, actors, spec.protocol.lag)

    def publish(self, version: Version, updates_made: int) -> None:
        """See ``Collector.publish``."""
        self._buffer.push(version)

    def collect(self, phase: int) -> Collected:
        """See ``Collector.collect``."""
        protocol, seed = self._spec.protocol, self._spec.seed
        versions = staleness.draw(protocol, seed, phase)
        if not staleness.mode(protocol, seed).in_flight:
            return Collected(versions, self._actors.collect(self._buffer.acting(versions), phase))
        held = staleness.by_step(protocol, seed, phase, self._spec.load_task().longest_episode)
        acting = {version.number: version for version in self._buffer.acting(np.unique(held))}
        by_actor = [[acting[number] for number in steps] for steps in held.T.tolist()]
        return Collected(versions, self._actors.collect_by_step(by_actor, phase))

    def state(self) -> dict[str, Any]:
        """See ``Collector.state``."""
        return {"actors": self._actors.state(), "versions": {v.number: dict(v.state) for v in self._buffer}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """See ``Collector.restore``."""
        self._actors.restore(state["actors"])
        for number, tensors in sorted(state["versions"].items()):
            self._buffer.push(Version(number, tensors))
