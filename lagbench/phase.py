"""A phase's updates from an algorithm's view: prepared data, minibatches, logging."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from numbers import Real
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lagbench.errors import AlgorithmError
from lagbench.estimators import standardize
from lagbench.rollout import FIELDS, Rollout

Metrics = dict[str, Tensor | float]
"""Metrics of an update: numbers or detached scalar tensors by name, the same names at every update."""
HARNESS_METRICS = frozenset({"loss", "gradient_norm", "gradient_norm_max"})


class Phase:
    """The argument of ``Algorithm.update``.

    Args:
        rollout: as collected, with the learner's log-probabilities and values at the start of the phase.
        prepare: sets the rollout's advantages; called once, or once per epoch after ``refresh``.
        refresh: evaluates the current learner again.
        every: when to prepare.
        minibatch: "steps" or "sequences".
        minibatches: number per epoch over the collected samples.
        cap: updates allowed.
        standardization: how advantages are standardized over each minibatch's valid rows.
        reserved: metric names that an algorithm may not use.
        rng: generator of the permutations.
    """

    def __init__(
        self,
        rollout: Rollout,
        *,
        prepare: Callable[[Rollout], Rollout],
        refresh: Callable[[Rollout], Rollout],
        every: Literal["phase", "epoch"],
        minibatch: Literal["steps", "sequences"],
        minibatches: int,
        cap: int,
        standardization: Literal["full", "scale", "none"],
        reserved: frozenset[str],
        rng: np.random.Generator,
    ) -> None:
        self._collected = rollout
        self._prepare = prepare
        self._refresh = refresh
        self._every = every
        self._minibatch = minibatch
        self._minibatches = minibatches
        self._standardization = standardization
        self._reserved = reserved
        self._rng = rng
        self._metrics: list[Metrics] = []
        self._prepared: Rollout | None = None
        self._cap = cap

    @property
    def rollout(self) -> Rollout:
        """The phase's rollout as ``prepare`` last left it."""
        if self._prepared is None:
            self._prepared = self._made(self._collected)
        return self._prepared

    @property
    def latest(self) -> Rollout:
        """The phase's rollout as last returned by ``prepare``, or as collected if nothing was prepared."""
        return self._prepared or self._collected

    @torch.no_grad()
    def _made(self, rollout: Rollout) -> Rollout:
        prepared = self._prepare(rollout)
        if not isinstance(prepared, Rollout):
            raise AlgorithmError(
                "`prepare` must return the rollout: return rollout.replace(advantage=…, value_target=…)"
            )
        if lost := next((name for name in FIELDS if rollout.has(name) and not prepared.has(name)), None):
            raise AlgorithmError(
                f"`prepare` returned a rollout without {lost}, which its argument has; derive it with "
                "rollout.replace(…), or of several phases with rollout.join(*self.stored), after self.store kept them"
            )
        return prepared

    def batches(self) -> Iterator[Rollout]:
        """Minibatches, reshuffled each epoch, until the cap; valid rows are divided into nearly equal parts."""
        given, source = 0, self._samples()
        while given < self._cap:
            if given and self._every == "epoch":
                self._prepared = self._made(self._refresh(self._collected))
                source = self._samples()
            for batch in self._epoch(source):
                yield batch
                given += 1
                if given == self._cap:
                    return

    def _samples(self) -> Rollout:
        """The samples to divide into minibatches: the prepared rollout, or its valid rows for single steps."""
        steps = self._minibatch == "steps" and self.rollout.longest is None
        return self.rollout.steps() if steps else self.rollout

    def _epoch(self, source: Rollout) -> Iterator[Rollout]:
        steps = source.layout == "steps"
        n = source.valid.shape[0 if steps else 1]
        # With rows of earlier phases there are more minibatches, not larger ones.
        sequences = self.rollout.valid.shape[1] / self._collected.valid.shape[1]
        minibatches = max(round(self._minibatches * sequences), 1)
        if n < minibatches:
            what = "valid rows" if steps else "sequences"
            raise AlgorithmError(
                f"{n} {what} cannot be divided into {minibatches} minibatches; collect more samples per phase, or use "
                f"larger minibatches"
            )
        shuffled = source.take(torch.from_numpy(self._rng.permutation(n)).to(source.valid.device))
        small, larger = divmod(n, minibatches)
        for batch in shuffled.split([small + (i < larger) for i in range(minibatches)]):
            if not batch.has("advantage"):
                yield batch
                continue
            valid = None if steps else batch.valid
            yield batch.replace(advantage=standardize(batch.advantage, valid, mode=self._standardization))

    def record(self, metrics: Mapping[str, Tensor | float]) -> None:
        """Log numbers or detached scalar tensors of one update; their means over the phase are recorded."""
        if not isinstance(metrics, Mapping):
            raise AlgorithmError(
                f"metrics must be a dictionary, not {metrics!r}; an algorithm's own `step` returns them, and "
                "phase.record(self.step(loss, metrics)) logs them"
            )
        for name, x in metrics.items():
            if name in self._reserved:
                raise AlgorithmError(f"the metric name {name!r} is reserved by the harness; choose another")
            if not (isinstance(x, Real) or (isinstance(x, Tensor) and x.numel() == 1 and not x.requires_grad)):
                raise AlgorithmError(f"the metric {name!r} must be a number or a detached scalar tensor (x.detach())")
        if self._metrics and metrics.keys() != self._metrics[0].keys():
            odd = min(metrics.keys() ^ self._metrics[0].keys())
            raise AlgorithmError(f"the metric {odd!r} is not logged at every update; log the same names each time")
        self._metrics.append({name: x if isinstance(x, Tensor) else float(x) for name, x in metrics.items()})

    def metrics(self) -> dict[str, float]:
        """The mean over the phase's updates of all recorded metrics.

        For ``gradient_norm`` also the maximum, ``gradient_norm_max``.
        """
        if not any(self._metrics):
            return {}
        names = self._metrics[0].keys()
        device = self._collected.valid.device  # a tensor that an algorithm made may be on another device
        rows = [
            torch.stack([torch.as_tensor(m[k], dtype=torch.float32, device=device).reshape(()) for k in names])
            for m in self._metrics
        ]
        stacked = torch.stack(rows)
        found = dict(zip(names, stacked.mean(0).tolist(), strict=True))
        if "gradient_norm" in names:
            found["gradient_norm_max"] = float(stacked[:, [*names].index("gradient_norm")].max())
        return found
