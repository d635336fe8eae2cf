"""Rollouts of earlier phases that an algorithm keeps, in memory and in checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from lagbench.errors import AlgorithmError
from lagbench.rollout import COLLECTED, Rollout


class Store:
    """The collected rollouts of the newest phases that stored one, at most one per phase.

    Attributes:
        rollouts: of earlier phases, oldest first, evaluated by the current learner: ``Algorithm.stored``.
    """

    def __init__(self) -> None:
        self.rollouts: tuple[Rollout, ...] = ()
        self._kept: dict[int, dict[str, Any]] = {}
        self._put: tuple[dict[str, Any], int] | None = None
        self._sequences = 0

    def begin(self, rollout: Rollout, evaluated: Callable[[Rollout], Rollout]) -> None:
        """Begin a phase; ``evaluated`` adds the learner's log-probabilities and values to a rollout."""
        self._put = None
        self._sequences = rollout.valid.shape[1]
        self.rollouts = tuple(evaluated(Rollout(**kept)) for kept in self._kept.values())

    def refresh(self, evaluated: Callable[[Rollout], Rollout]) -> None:
        """Evaluate the rollouts again with the current learner."""
        self.rollouts = tuple(map(evaluated, self.rollouts))

    def put(self, rollout: Rollout, phases: int) -> None:
        """See ``Algorithm.store``."""
        if not isinstance(rollout, Rollout):
            raise AlgorithmError(f"self.store takes a rollout, not {rollout!r}")
        if rollout.layout != "phase":
            raise AlgorithmError(
                "self.store takes the rollout of a whole phase, as `prepare` receives it, not a part of one"
            )
        if rollout.valid.shape[1] > self._sequences:
            raise AlgorithmError(
                "self.store takes the rollout of one phase, and this one joins several: store the rollout that "
                "`prepare` receives, before joining others to it"
            )
        if isinstance(phases, bool) or not isinstance(phases, int) or phases < 0:
            raise AlgorithmError(f"self.store keeps a whole number of phases, 0 or more, not {phases!r}")
        # Copies: the original may be modified in place, and may be a view of more memory than is kept.
        kept = {name: _copy(getattr(rollout, name)) for name in (*COLLECTED, "group") if rollout.has(name)}
        about = {"longest": rollout.longest, "group_size": rollout.group_size}
        self._put = {**kept, "extra": {name: _copy(x) for name, x in rollout.extra.items()}, **about}, phases

    def end(self, phase: int) -> None:
        """End the phase: its rollout is in ``rollouts`` from the next phase on."""
        if self._put is not None:
            self._kept[phase], phases = self._put
            self._kept = dict(sorted(self._kept.items())[max(len(self._kept) - phases, 0) :])

    def state(self) -> dict[int, dict[str, Any]]:
        """State for a checkpoint, by phase; the entry of a phase never changes."""
        return dict(self._kept)

    def restore(self, state: Mapping[int, Mapping[str, Any]], device: Any) -> None:
        """Restore the state from a checkpoint."""
        self._kept = {phase: {name: _moved(x, device) for name, x in kept.items()} for phase, kept in state.items()}


def _copy(x: Tensor) -> Tensor:
    return x.detach().clone()


def _moved(x: Any, device: Any) -> Any:
    if isinstance(x, Mapping):
        return {name: _moved(y, device) for name, y in x.items()}
    return x.to(device) if isinstance(x, Tensor) else x
