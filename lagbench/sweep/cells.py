"""The cells of a sweep: specs with directories, and their state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from lagbench import runner
from lagbench.errors import LagbenchError, RecordError, UsageError, reason
from lagbench.records.files import SPEC_FILE
from lagbench.records.reader import Run, open_run
from lagbench.records.schema import TABLES
from lagbench.records.spec_file import read_document
from lagbench.sinks import description
from lagbench.sinks.base import Sink
from lagbench.source.algorithms import InstalledAlgorithm, may_be
from lagbench.spec import RunSpec, differences

Status = Literal["missing", "unfinished", "completed", "diverged", "failed", "unusable", "other", "crashed"]

# The directory's files may contain anything.
_UNREADABLE = (LagbenchError, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


@dataclass(frozen=True, eq=False)
class Planned:
    """One cell: a spec, the directory of its run, and the options of ``lagbench.resolve`` it was made from.

    Compared by identity: no two cells of a grid share a directory.

    Attributes:
        spec: the run's specification.
        path: the directory of its run.
        options: arguments of ``lagbench.resolve``.
    """

    spec: RunSpec
    path: Path
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class State:
    """The state of a cell.

    Attributes:
        status: ``completed``, ``diverged`` and ``failed`` for finished runs; ``unfinished`` runs can be resumed.
            ``unusable``: the directory cannot be read; ``other``: it contains a run of another spec. ``crashed``: the
            process died in this sweep; the next sweep tries again.
        reason: why the run is not completed; may be empty.
        score: the mean return of the final scored evaluation, if any.
        error: its standard error.
    """

    status: Status
    reason: str = ""
    score: float | None = None
    error: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to run."""
        return self.status not in ("missing", "unfinished")

    @property
    def is_failure(self) -> bool:
        """Whether the cell has no result. Divergence is a result."""
        return self.status in ("failed", "unusable", "other", "crashed")


def look(cell: Planned) -> State:
    """Return the state of a cell, read from its directory."""
    path = cell.path
    try:
        if not (path / SPEC_FILE).exists():
            if any((path / table).exists() for table in TABLES):
                raise RecordError(f"{path} has tables of a run but no {SPEC_FILE}")
            return State("missing")
        document = read_document(path)
        before = RunSpec.from_json(document)  # raises if written by another version, which is not a different run
        now, then = cell.spec.algorithm, before.algorithm
        planned = replace(cell.spec, algorithm=then) if may_be(now, then) else cell.spec
        if changed := differences(planned.to_json(), document):
            told = "; ".join(changed)
            if now.name == then.name and planned.algorithm != then:
                told = f"the source of {now.name} has changed since"
                if isinstance(now, InstalledAlgorithm):
                    told = f"{now.name} is from {now.source}, but was from {then.source}"
            return State("other", description.plain(f"{path} holds another run: {told}"))
        return _state(open_run(path))
    except _UNREADABLE as error:
        return State("unusable", description.plain(f"{reason(error)}; move {path} away to run it again"))


def _state(run: Run) -> State:
    match run.status:
        case "completed":
            final = run.summary["final"][run.spec.evaluation.measure]
            error = final.get("standard_error")
            return State("completed", score=float(final["mean"]), error=None if error is None else float(error))
        case "diverged":
            return State("diverged", description.plain(description.divergence(run)))
        case "failed":
            return State("failed", description.plain(str(run.summary.get("reason", ""))))
        case _:
            return State("unfinished")


def survey(cells: Iterable[Planned], taken: Mapping[Planned, State] | None = None) -> dict[Planned, State]:
    """Return the state of every cell: from ``taken`` if it is there, else from its directory.

    Raises UsageError if a directory contains a run of another spec.
    """
    known = taken or {}
    states = {cell: known[cell] if cell in known else look(cell) for cell in cells}
    others = [state.reason for state in states.values() if state.status == "other"]
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        raise UsageError(f"{others[0]}{more}; sweep into another directory with --out, or move it away")
    return states


Go = Callable[..., None]
"""Runs a cell: ``go_on``, or a function with the same arguments."""


def go_on(spec: RunSpec, path: Path, *, threads: int, sinks: Sequence[Sink]) -> None:
    """Run or resume a cell; does nothing if it is finished. Raises as ``runner.execute``."""
    state = look(Planned(spec, path))
    if state.is_failure and state.status != "failed":
        raise UsageError(state.reason)
    if state.status == "missing":
        runner.execute(spec, path, threads=threads, sinks=sinks)
    elif state.status == "unfinished":
        runner.resume(path, threads=threads, sinks=sinks)
