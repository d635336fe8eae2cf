"""Rollouts of earlier phases: what an algorithm asks to have kept, and what a checkpoint holds of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from lagbench.errors import AlgorithmError
from lagbench.rollout import COLLECTED, Rollout


class Store:
    """A rollout a phase, as it was collected, of the newest phases for which one was put here.

    Attributes:
        rollouts: those of earlier phases, oldest first, as the learner evaluates them: ``Algorithm.stored``.
    """

    def __init__(self) -> None:
        self.rollouts: tuple[Rollout, ...] = ()
        self._kept: dict[int, dict[str, Any]] = {}
        self._put: tuple[dict[str, Any], int] | None = None
        self._sequences = 0

    def begin(self, rollout: Rollout, evaluated: Callable[[Rollout], Rollout]) -> None:
        """A phase begins whose own rollout is this; ``evaluated`` sets what the learner says of one."""
        self._put = None
        self._sequences = rollout.valid.shape[1]
        self.rollouts = tuple(evaluated(Rollout(**kept)) for kept in self._kept.values())

    def refresh(self, evaluated: Callable[[Rollout], Rollout]) -> None:
        """Evaluate again."""
        self.rollouts = tuple(map(evaluated, self.rollouts))

    def put(self, rollout: Rollout, phases: int) -> None:
        """See ``Algorithm.store``."""
        if not isinstance(rollout, Rollout):
            raise AlgorithmError(f"self.store takes a rollout, not {rollout!r}")
        if rollout.layout != "phase":
            raise AlgorithmError(
                "self.store takes the rollout of a whole phase, as `prepare` is given it, and this is a part of one"
            )
        if rollout.valid.shape[1] > self._sequences:
            raise AlgorithmError(
                "self.store takes the rollout of one phase, and this one is of several: store what `prepare` is given, "
                "and join the others to it afterwards"
            )
        if isinstance(phases, bool) or not isinstance(phases, int) or phases < 0:
            raise AlgorithmError(f"self.store keeps a whole number of phases, 0 or more, not {phases!r}")
        # Copies: what was given may be changed in place, and may hang on far more than is kept.
        kept = {name: _copy(getattr(rollout, name)) for name in (*COLLECTED, "group") if rollout.has(name)}
        about = {"longest": rollout.longest, "group_size": rollout.group_size}
        self._put = {**kept, "extra": {name: _copy(x) for name, x in rollout.extra.items()}, **about}, phases

    def end(self, phase: int) -> None:
        """The phase has ended: what was put counts from the next one on."""
        if self._put is not None:
            self._kept[phase], phases = self._put
            self._kept = dict(sorted(self._kept.items())[max(len(self._kept) - phases, 0) :])

    def state(self) -> dict[int, dict[str, Any]]:
        """For a checkpoint, by phase; what stands under a phase never changes."""
        return dict(self._kept)

    def restore(self, state: Mapping[int, Mapping[str, Any]], device: Any) -> None:
        """From a checkpoint."""
        self._kept = {phase: {name: _moved(x, device) for name, x in kept.items()} for phase, kept in state.items()}


def _copy(x: Tensor) -> Tensor:
    return x.detach().clone()


def _moved(x: Any, device: Any) -> Any:
    if isinstance(x, Mapping):
        return {name: _moved(y, device) for name, y in x.items()}
    return x.to(device) if isinstance(x, Tensor) else x
