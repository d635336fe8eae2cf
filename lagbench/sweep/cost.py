"""Estimated duration of runs, from costs measured on one core (compared in docs/sweeps.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from lagbench.protocol import DEFAULT_HIDDEN
from lagbench.spec import RunSpec

# Microseconds per actor step on one core, including acting and recording.
_STEP_US = {
    "Ant": 210,
    "HalfCheetah": 33,
    "Hopper": 60,
    "Humanoid": 230,
    "HumanoidStandup": 330,
    "InvertedDoublePendulum": 30,
    "InvertedPendulum": 20,
    "Pusher": 43,
    "Reacher": 20,
    "Swimmer": 36,
    "Walker2d": 87,
}
# An update costs a constant, for many small operations, and a time per row.
_UPDATE_MS, _UPDATE_ROW_US = 0.9, 0.9
_PHASE_MS = 20.0
_START_S = 1.0
_EPISODE_STEPS = 1000
# Milliseconds per completion, including its update; per completion of an evaluation; and per phase in addition, since
# only a phase's completions are batched.
_COMPLETION_MS = {"GSM8kMini": (19, 9, 300)}


def is_known(task: str) -> bool:
    """Whether the cost of a task is known."""
    name = task.rpartition("-v")[0]
    return name in _STEP_US or name in _COMPLETION_MS


def seconds(spec: RunSpec) -> float | None:
    """Seconds of a run on one core; None if the task's cost is not known."""
    if not is_known(spec.task):
        return None
    name = spec.task.rpartition("-v")[0]
    return _language(spec, *_COMPLETION_MS[name]) if name in _COMPLETION_MS else _control(spec, _STEP_US[name])


def _language(spec: RunSpec, completion_ms: float, evaluated_ms: float, phase_ms: float) -> float:
    completed = spec.phases * (spec.protocol.samples * completion_ms + phase_ms)
    return _START_S + 1e-3 * (completed + _evaluated(spec) * evaluated_ms)


def _control(spec: RunSpec, step_us: float) -> float:
    p = spec.protocol
    row_us = _UPDATE_ROW_US * max(1.0, _size(p.hidden) / _size(DEFAULT_HIDDEN))
    updates = p.update_cap(spec.config.get("updates")) * (_UPDATE_MS * 1e-3 + p.minibatch * row_us * 1e-6)
    phase = p.samples * step_us * 1e-6 + updates + _PHASE_MS * 1e-3
    return _START_S + spec.phases * phase + _evaluated(spec) * _EPISODE_STEPS * step_us * 1e-6


def _evaluated(spec: RunSpec) -> int:
    """Total number of evaluation episodes."""
    return sum(sum(spec.evaluation.modes(last=at == spec.phases).values()) for at in spec.evaluation_phases())


def _size(hidden: Sequence[int]) -> int:
    """Weights between hidden layers, or units of a single one; the time per row is proportional to it."""
    return sum(a * b for a, b in pairwise(hidden)) or hidden[0]


def hours(specs: Iterable[RunSpec]) -> float | None:
    """Core-hours of several runs; None if the cost of one's task is not known."""
    each = [seconds(spec) for spec in specs]
    return None if None in each else sum(s for s in each if s is not None) / 3600
