"""The versions of all actors, determined by the run's lag mode, so that records can be verified."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from lagbench import registry
from lagbench.errors import UsageError
from lagbench.lag.base import LagMode
from lagbench.protocol import Protocol


def draw(protocol: Protocol, seed: int, phase: int) -> NDArray[np.int64]:
    """The version [N] that each actor holds in a phase, given the learner's version ``phase`` at its start.

    Raises UsageError if the lag mode does not return an available version for each actor.
    """
    return _checked(mode(protocol, seed).versions(phase), protocol, phase, (), "versions")


def by_step(protocol: Protocol, seed: int, phase: int, steps: int) -> NDArray[np.int64]:
    """The version [steps, N] at each step of an episode of at most ``steps``; constant unless the mode is in flight.

    Raises UsageError as ``draw``.
    """
    held = mode(protocol, seed)
    if not held.in_flight:
        return np.tile(draw(protocol, seed, phase), (steps, 1))
    return _checked(held.by_step(phase, steps), protocol, phase, (steps,), "by_step")


def _checked(
    given: NDArray[np.int64], protocol: Protocol, phase: int, steps: tuple[int, ...], method: str
) -> NDArray[np.int64]:
    versions = np.asarray(given)
    oldest, name = max(0, phase - protocol.lag), protocol.lag_mode
    if versions.shape != (*steps, protocol.actors) or not np.issubdtype(versions.dtype, np.integer):
        raise UsageError(
            f"the lag mode {name} gave an array {versions.shape} of {versions.dtype} in phase {phase}, where the "
            f"{protocol.actors} actors need one integer each{' at each step' if steps else ''}; correct its `{method}`"
        )
    if len(wrong := np.argwhere((versions < oldest) | (versions > phase))):
        raise UsageError(
            f"the lag mode {name} gave actor {wrong[0][-1]} policy version {versions[*wrong[0]]} in phase {phase}, "
            f"where there are versions {oldest} to {phase} (--lag {protocol.lag}); correct its `{method}`, or increase "
            f"--lag"
        )
    return versions.astype(np.int64, copy=False)


def settled(protocol: Protocol, seed: int, phases: int) -> Protocol:
    """The protocol with the lag that its mode implies, if any; a lag of 0 means that it was not given.

    Raises UsageError if another lag was given, or if the mode does not support this number of phases and actors.
    """
    lag = mode(protocol, seed).largest(phases)
    if protocol.lag not in (0, lag):
        raise UsageError(
            f"the lag of {protocol.lag_mode} is determined by the mode and is {lag}, not {protocol.lag}; leave --lag "
            f"out"
        )
    return dataclasses.replace(protocol, lag=lag)


@functools.lru_cache(maxsize=64)
def mode(protocol: Protocol, seed: int) -> LagMode:
    """The lag mode of a run. Raises UsageError if none of that name is installed."""
    known = registry.lag_modes()
    made: LagMode = registry.load(known[protocol.lag_mode])(protocol, seed)
    return made
