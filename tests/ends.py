"""What ends a run: a signal, what ends a process, a full disk."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from lagbench.runner import Interrupted, execute
from lagbench.sinks.base import Sink
from lagbench.spec import RunSpec
from lagbench.training import PhaseResult


class Stop(Sink):
    """Interrupts a run after so many phases, as a signal does."""

    def __init__(self, phases: int) -> None:
        self._left = phases

    def write(self, result: PhaseResult) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


class CutOff(BaseException):
    """Stands for what ends a process."""


class Scissors(Sink):
    """Cuts a run off in a phase, when its rows are committed."""

    def __init__(self, phase: int) -> None:
        self._phase = phase

    def write(self, result: PhaseResult) -> None:
        if result.record.phase == self._phase:
            raise CutOff


def interrupt(spec: RunSpec, path: Path, phases: int = 2) -> None:
    """Run a spec, and interrupt it after so many phases."""
    with pytest.raises(Interrupted):
        execute(spec, path, threads=1, sinks=[Stop(phases)])


def cut_off(spec: RunSpec, path: Path, phase: int = 2) -> None:
    """Run a spec with a checkpoint after every phase, as far as its process lives: into this phase."""
    with pytest.raises(CutOff):
        execute(spec, path, threads=1, checkpoint_every=0, sinks=[Scissors(phase)])


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Files cannot grow beyond ``size``: a write is cut short and the next one fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
