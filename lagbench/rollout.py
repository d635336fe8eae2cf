"""The data collected in one phase, as frozen time-major tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from lagbench.errors import AlgorithmError

Layout = Literal["phase", "sequences", "steps"]
PADDING = -1
"""The token that pads prompts on the left."""

_SET_BY = {
    "proximal_log_prob": "the harness sets it before `prepare`",
    "log_prob": "the harness sets it before `prepare`",
    "value": "the harness sets it before `prepare`, for a policy that has a critic",
    "next_value": "the harness sets it before `prepare`, for a policy that has a critic",
    "advantage": "`prepare` sets it",
    "value_target": "`prepare` sets it, for a policy that has a critic",
    "group": "only language has prompt groups",
}
COLLECTED = (
    "observation",
    "action",
    "reward",
    "terminated",
    "truncated",
    "valid",
    "behaviour_version",
    "behaviour_log_prob",
)
"""The fields of a collected rollout; actors are their second dimension."""
FIELDS = (*COLLECTED, *_SET_BY)
_JOIN = "; combine rollouts of several phases with rollout.join(*self.stored), after self.store has kept them"


class Rollout:
    """A phase's samples, or a minibatch of them. Immutable: ``replace`` returns a new one.

    Shapes: S is [T, N] for a phase, [T, n] for sequences of it, [B] for steps (valid rows only).

    Attributes:
        observation: control, raw: S + [obs], with one more row in time ([T+1, …]) for a phase and for sequences, so
            that row t+1 is always the true successor of row t. Language: prompt tokens [P, n], left-padded with -1.
        action: control S + [act], float32 and unclipped, or S, int64, if discrete; language S, token ids.
        reward: S, scaled by the harness.
        terminated: S, bool; takes precedence if both flags are set.
        truncated: S, bool; a time limit.
        valid: S, bool; false on rows that are not transitions (automatic reset, padding).
        behaviour_version: S, the policy version that chose the action.
        behaviour_log_prob: S, log β(action | observation), recorded at the time of acting.
        group: language: [n], the prompt group of each completion.
        proximal_log_prob: S, of the learner at the start of the phase's updates (π_T).
        log_prob: S, of the learner when `prepare` was called.
        value: S, of the critic at that time, for this row's observation.
        next_value: S, of the critic at that time, for the true next observation.
        advantage: S, set by `prepare`.
        value_target: S, set by `prepare`.
        extra: further tensors added by `prepare`, each S.
        layout: "phase", "sequences" or "steps".
        longest: language: maximum length of a completion, in tokens; None on control.
        group_size: language: completions per prompt in the phase, also in its minibatches; None on control.
        length: [n], valid rows of each sequence: a completion's tokens. For steps [B], all 1.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    valid: Tensor
    behaviour_version: Tensor
    behaviour_log_prob: Tensor
    group: Tensor
    proximal_log_prob: Tensor
    log_prob: Tensor
    value: Tensor
    next_value: Tensor
    advantage: Tensor
    value_target: Tensor
    extra: Mapping[str, Tensor]
    layout: Layout
    longest: int | None
    group_size: int | None

    def __init__(
        self,
        *,
        layout: Layout = "phase",
        longest: int | None = None,
        group_size: int | None = None,
        extra: Mapping[str, Tensor] | None = None,
        **fields: Tensor,
    ) -> None:
        for name in fields:
            if name not in FIELDS:
                raise _unknown(name)
        missing = [name for name in COLLECTED if name not in fields]
        if missing:
            raise ValueError(f"a rollout needs {', '.join(missing)}")
        self.__dict__.update(fields, layout=layout, longest=longest, group_size=group_size)
        self.__dict__["extra"] = MappingProxyType(dict(extra or {}))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AlgorithmError(f"a rollout is frozen; use rollout.replace({name}=…)")

    def __getattr__(self, name: str) -> Any:
        source, change = self.__dict__.get("_made_of", (None, None))
        if source is not None and (name == "extra" or source.has(name)):
            old = getattr(source, name)
            new = MappingProxyType({k: change(k, x) for k, x in old.items()}) if name == "extra" else change(name, old)
            self.__dict__[name] = new
            return new
        if name in _SET_BY:
            raise AlgorithmError(f"rollout.{name} is not set: {_SET_BY[name]}")
        raise AttributeError(f"a rollout has no field {name!r}")

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.valid.shape))
        return f"<Rollout {self.layout} [{shape}] with {', '.join(k for k in FIELDS if self.has(k))}>"

    def has(self, name: str) -> bool:
        """Whether a field is set."""
        if name in self.__dict__ or "_made_of" not in self.__dict__:
            return name in self.__dict__
        return name in FIELDS and self.__dict__["_made_of"][0].has(name)

    def replace(self, *, extra: Mapping[str, Tensor] | None = None, **fields: Tensor) -> Self:
        """Return a rollout with these fields set; ``extra`` is merged. Each field must have the shape of ``valid``."""
        for name, x in {**fields, **(extra or {})}.items():
            if name not in ("observation", "action", "group") and x.shape != self.valid.shape:
                more = x.numel() > self.valid.numel()
                raise AlgorithmError(
                    f"rollout.{name} must have shape {list(self.valid.shape)}, not {list(x.shape)}" + _JOIN * more
                )
        for name in set(extra or ()).intersection(FIELDS):
            raise AlgorithmError(f"extra cannot hold {name!r}, which is a field of its own; choose another name")
        if odd := next((name for name in fields if name not in FIELDS), None):
            raise _unknown(odd)
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__, **fields)
        if extra:
            new.__dict__["extra"] = MappingProxyType({**self.extra, **extra})
        return new

    @property
    def length(self) -> Tensor:
        """See the class."""
        return self.sequences(torch.ones_like(self.valid, dtype=torch.int64))

    def sequences(self, x: Tensor) -> Tensor:
        """The sum of ``x`` (shape S) over each sequence's valid samples, as for ratios of whole completions.

        [n] for sequences: on language over a completion's tokens; on control over an actor's rows, across episode ends.
        With layout "steps" each step is its own sequence: ``x`` itself, [B]. ``mean`` and ``objective`` broadcast this
        shape to all samples of the sequence, and ``x * per_sequence`` has shape S.
        """
        return x if self.layout == "steps" else self._valid(x).sum(0)

    def mean(self, x: Tensor) -> Tensor:
        """The mean of ``x`` (shape S, or one value per sequence) over valid samples: for metrics and divergences."""
        if self.layout == "steps":
            return x.mean()
        return self._valid(x).sum() / self.valid.sum()

    def objective(self, x: Tensor) -> Tensor:
        """The reduction for losses: ``mean`` on control; on language sum over valid tokens ÷ (completions × longest).

        ``x`` has shape S, or one value per sequence. Samples dropped by an algorithm (set to 0) stay in the
        denominator.
        """
        if self.longest is None:
            return self.mean(x)
        return self._valid(x).sum() / (self.valid.shape[1] * self.longest)

    def _valid(self, x: Tensor) -> Tensor:
        return torch.where(self.valid, x, torch.zeros((), dtype=x.dtype, device=x.device))

    def _map(self, change: Callable[[str, Tensor], Tensor], layout: Layout) -> Self:
        """Return a rollout whose fields are mapped on first access: most fields of a minibatch are never read."""
        new = object.__new__(type(self))
        new.__dict__.update(layout=layout, longest=self.longest, group_size=self.group_size, _made_of=(self, change))
        return new

    def to(self, device: str) -> Self:
        """The same rollout on another device."""
        return self._map(lambda _, x: x.to(device), self.layout)

    def steps(self) -> Self:
        """The valid rows of a control phase, flattened to [B]."""
        keep = self.valid.reshape(-1).nonzero().squeeze(1)
        t, _ = self.valid.shape
        return self._map(lambda _, x: x[:t].reshape(-1, *x.shape[2:]).index_select(0, keep), "steps")

    def take(self, index: Tensor) -> Self:
        """The samples at ``index``: rows of a "steps" rollout, else whole columns (actors, completions)."""
        return self._map(lambda name, x: x.index_select(self._axis(name), index), self._part)

    def join(self, *others: Self) -> Self:
        """Combine this rollout with others, for example of earlier phases, side by side in this order.

        The result has the fields that all of them have. On language, prompts and completions are padded to the longest,
        and ``group`` is renumbered so that no two rollouts share a group.

        Raises AlgorithmError for sequences with steps, and on control for sequences of different lengths.
        """
        parts = [self, *others]
        if len({p.layout == "steps" for p in parts}) > 1:
            raise AlgorithmError("single steps cannot be joined with sequences; join rollouts before flattening them")
        if self.longest is None and self.layout != "steps" and len({len(p.valid) for p in parts}) > 1:
            raise AlgorithmError("sequences of different lengths cannot be joined; join rollouts of whole phases")
        found = {
            name: self._joined(name, [getattr(p, name) for p in parts])
            for name in FIELDS
            if all(p.has(name) for p in parts)
        }
        common = [name for name in self.extra if all(name in p.extra for p in parts)]
        new = object.__new__(type(self))
        extra = MappingProxyType({name: self._joined(name, [p.extra[name] for p in parts]) for name in common})
        new.__dict__.update(found, layout=self.layout, longest=self.longest, group_size=self.group_size, extra=extra)
        return new

    def _joined(self, name: str, pieces: list[Tensor]) -> Tensor:
        if name == "group":
            first = 0
            for i, x in enumerate(pieces):
                pieces[i] = x - x.min() + first
                first = int(pieces[i].max()) + 1
        elif self.longest is not None:
            rows = max(map(len, pieces))
            prompt = name == "observation"
            shortfall = [rows - len(x) for x in pieces]
            pieces = [
                nn.functional.pad(x, (0, 0, n, 0) if prompt else (0, 0, 0, n), value=PADDING if prompt else 0)
                for x, n in zip(pieces, shortfall, strict=True)
            ]
        return torch.cat(pieces, dim=self._axis(name))

    def split(self, sizes: list[int]) -> list[Self]:
        """Consecutive pieces of these sizes along the sample axis, as views."""
        return [self._narrow(sum(sizes[:i]), size) for i, size in enumerate(sizes)]

    def _narrow(self, start: int, size: int) -> Self:
        return self._map(lambda name, x: x.narrow(self._axis(name), start, size), self._part)

    def _axis(self, name: str) -> int:
        return 0 if self.layout == "steps" or name == "group" else 1

    @property
    def _part(self) -> Layout:
        return "steps" if self.layout == "steps" else "sequences"


def _unknown(name: str) -> AlgorithmError:
    return AlgorithmError(f"a rollout has no field {name!r}; put it in extra={{{name!r}: …}}")
