"""Protocols: how old the data may be, and how many updates a phase makes on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from lagbench import registry
from lagbench.config import INT32, Count, Range, check_fields, coerce, make_config, parsed
from lagbench.errors import UsageError, unknown

ForwardMode = Literal["reuse", "split"]
Lag = Annotated[int, Range(ge=0, le=INT32)]
DEFAULT_EPOCHS = 10
DEFAULT_HIDDEN = (64, 64)
MOST_ACTORS = 8
"""The largest number of actors, and so of versions per phase, if it follows from the samples."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """All settings that determine how stale a phase's data is. Every field is part of every result.

    A phase collects ``actors × phase_steps`` samples. In ``reuse`` mode it makes whole epochs over them,
    ``epoch_updates`` updates each; in ``split`` mode it makes one pass in ``updates`` minibatches. Create one with
    ``resolve``, which fills in defaults and validates.

    Attributes:
        lag: max staleness L, in policy versions; 0 is synchronous.
        lag_mode: the name of a ``lagbench.lag.base.LagMode``: ``uniform``, ``fixed``, ``trace``, ``queue``.
        updates: U, maximum number of optimizer updates per phase.
        updates_fixed: whether U is fixed; otherwise an algorithm may declare a smaller number.
        forward: ``reuse`` or ``split``.
        minibatch: b, samples per minibatch.
        actors: N; on language, slots of prompt groups that are completed with one version.
        phase_steps: T, steps (language: completions) per actor and phase.
        hidden: units of each hidden layer of actor and critic, on control.
        lag_options: all options of the lag mode.
    """

    lag: Lag
    lag_mode: str
    updates: Count
    updates_fixed: bool
    forward: ForwardMode
    minibatch: Count
    actors: Count
    phase_steps: Count
    hidden: tuple[int, ...] = DEFAULT_HIDDEN
    lag_options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if isinstance(self.hidden, list):  # from JSON
            object.__setattr__(self, "hidden", tuple(self.hidden))
        object.__setattr__(self, "lag_options", MappingProxyType({**self.lag_options}))
        check_fields(self)
        if not self.hidden or not all(type(units) is int and 1 <= units <= INT32 for units in self.hidden):
            raise UsageError(
                f"hidden must name at least one layer of at least 1 unit, such as 64,64; not {list(self.hidden)}"
            )

    @property
    def samples(self) -> int:
        """Samples per phase, including invalid rows."""
        return self.actors * self.phase_steps

    @property
    def epoch_updates(self) -> int:
        """M, minibatches per pass over a phase's samples."""
        return self.samples // self.minibatch

    def update_cap(self, own: int | None) -> int:
        """Optimizer updates allowed per phase for an algorithm that declares ``own`` (``Config.updates``)."""
        return self.updates if own is None or self.updates_fixed else min(own, self.updates)

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary; ``Protocol(**it)`` is equal to this.

        ``hidden`` and ``lag_options`` are included only if not default: older specifications and records lack them.
        """
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        data |= {"hidden": list(self.hidden), "lag_options": dict(self.lag_options)}
        if self.hidden == DEFAULT_HIDDEN:
            del data["hidden"]
        if not self.lag_options:
            del data["lag_options"]
        return data

    @classmethod
    @parsed()
    def resolve(
        cls,
        *,
        lag: Lag = 0,
        lag_mode: str = "uniform",
        lag_options: Mapping[str, Any] | None = None,
        updates: Count | None = None,
        updates_fixed: bool = False,
        forward: ForwardMode = "reuse",
        minibatch: Count,
        actors: Count | None = None,
        phase_steps: Count | None = None,
        hidden: Sequence[int] = DEFAULT_HIDDEN,
        group: Count = 1,
    ) -> Self:
        """Fill in defaults: ten epochs of updates in ``reuse``; ``phase_steps`` from the updates in ``split``.

        Without ``actors``, samples come in groups of ``group`` that are divided among the actors: as many actors as
        groups, at most 8, and a number that divides the samples. In ``reuse`` a phase then collects one minibatch
        unless ``phase_steps`` is given. ``lag_mode`` may be ``NAME:ARGUMENT``, whose options ``lag_options`` override.
        Raises UsageError for an invalid combination, naming the nearest valid ones.
        """
        if actors is None:
            collected = minibatch * (updates or 1) if forward == "split" else minibatch
            most = max(1, min(MOST_ACTORS, collected // group))
            actors = next(n for n in range(most, 0, -1) if collected % n == 0)
            phase_steps = collected // actors if phase_steps is None else phase_steps
        if forward == "split":
            updates = 1 if updates is None else updates
            if updates * minibatch % actors:
                raise UsageError(
                    f"split mode collects updates × minibatch = {updates * minibatch} samples a phase, which "
                    f"{actors} actors cannot divide evenly; choose a minibatch that {actors} divides"
                )
            steps = updates * minibatch // actors
            if phase_steps not in (None, steps):
                raise UsageError(f"in split mode the phase's steps follow from updates × minibatch: {steps} an actor")
            updates_fixed = True
        else:
            steps = max(minibatch // actors, 1) if phase_steps is None else phase_steps
            m = _minibatches(actors * steps, minibatch)
            updates = DEFAULT_EPOCHS * m if updates is None else updates
            if updates % m:
                below = max(updates // m, 1) * m
                raise UsageError(
                    f"{updates} updates are not possible: in reuse mode a phase makes whole epochs of {m} minibatches "
                    f"({actors * steps} samples / {minibatch}); the nearest are {below} or {below + m}"
                )
        if steps < 2:
            # If all actors ended an episode at once, a phase of one step could consist of resets only.
            raise UsageError(
                "an actor must take at least 2 steps per phase, not 1; increase --phase-steps, or use fewer actors"
            )
        mode, options = _lag_mode(lag_mode, lag_options or {})
        return cls(
            lag=lag,
            lag_mode=mode,
            lag_options=options,
            updates=updates,
            updates_fixed=updates_fixed,
            forward=forward,
            minibatch=minibatch,
            actors=actors,
            phase_steps=steps,
            hidden=units(hidden),
        )


def units(hidden: Sequence[int] | str) -> tuple[int, ...]:
    """The units of each hidden layer, also from text such as ``64,64``; ``Protocol`` validates them."""
    if not isinstance(hidden, str):
        return tuple(hidden)
    return tuple(coerce("hidden", int, part) for part in hidden.split(","))


def _lag_mode(text: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name in ``NAME`` or ``NAME:ARGUMENT``, and all options of that mode."""
    name, _, argument = text.partition(":")
    known = registry.lag_modes()
    if name not in known:
        raise unknown("lag mode", name, known)
    mode = registry.load(known[name])
    preset = mode.preset(argument) if argument else {}
    return name, asdict(make_config(mode.Config, preset, given, what=f"option of the lag mode {name}"))


def _minibatches(samples: int, minibatch: int) -> int:
    coerce("the samples of a phase", Count, samples)
    if samples % minibatch:
        small = [b for b in range(1, math.isqrt(samples) + 1) if samples % b == 0]
        fitting = sorted({*small, *(samples // b for b in small)})
        near = [b for b in fitting if b < minibatch][-1:] + [b for b in fitting if b > minibatch][:1]
        raise UsageError(
            f"a phase's {samples} samples cannot be divided into minibatches of {minibatch}; the nearest that can "
            f"{'are' if len(near) > 1 else 'is'} {' and '.join(map(str, near))}"
        )
    return samples // minibatch
