"""``rerun``: train a submission in a sandbox, on seeds that nobody chose. The resulting table is what is ranked."""

from __future__ import annotations

import json
import math
import secrets
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from lagbench import (
    CellOutcome,
    LagbenchError,
    Planned,
    RunSpec,
    Suite,
    UsageError,
    drawn_seeds,
    load_suite,
    records,
    scoring,
)
from lagbench.leaderboard import published, sandbox
from lagbench.leaderboard.documents import decode, encode
from lagbench.leaderboard.files import entries
from lagbench.leaderboard.reruns import Beacon, Record, Rerun
from lagbench.leaderboard.sandbox import Limits, Sandbox
from lagbench.leaderboard.submission import Submission
from lagbench.leaderboard.text import shown

SHARE = 0.2
"""The smallest share of a suite's cells that a rerun may cover."""
_RECORD, _RUNS, _TABLE = "rerun.json", "runs", "table"
_JOB = "job.json"  # not spec.json: its directory is not a run
_DONE = (0, 3)  # completed, diverged
_JSON_BYTES = 1 << 20
_COLLECTING = Limits(file=1 << 24, directory=1 << 24)
_SPREAD = 3.0
_SAID = 1_000


@dataclass(frozen=True)
class Plan:
    """The cells of a submission to train, as ``lagbench.run_grid`` takes them, and where."""

    submission: Submission
    suite: Suite
    record: Record
    out: Path
    cells: tuple[Planned, ...]


@dataclass(frozen=True)
class Cell:
    """Runs a cell of a sweep in a sandbox; the parent process reads nothing that the cell writes."""

    sandbox: Sandbox
    limits: Limits

    def __call__(self, spec: RunSpec, path: Path, *, threads: int, sinks: Sequence[object]) -> None:
        """Train or resume the cell. Raises LagbenchError if it gives no result."""
        job = path.with_name(f"{path.name}.job")
        for name, source in spec.sources().items():
            for module, content in source.files.items():
                (job / name / module).parent.mkdir(parents=True, exist_ok=True)
                (job / name / module).write_bytes(content)
        file = job / _JOB
        file.write_text(json.dumps(spec.to_json()), encoding="utf-8")
        path.mkdir(parents=True, exist_ok=True)
        outside = spec.load_task().outside()
        begun = (path / records.files.SPEC_FILE).exists()
        what = ["resume", str(path)] if begun else ["run", "--spec", str(file), "--out", str(path)]
        with tempfile.TemporaryFile() as stderr:
            code = sandbox.run(
                self.sandbox,
                ["-m", "lagbench", *what, "--quiet", "--threads", str(threads)],
                directory=path,
                readable=[job, *outside.paths],
                environment=outside.environment,
                limits=replace(self.limits, gpu=spec.device != "cpu"),
                stdout=sandbox.NOWHERE,
                stderr=stderr,
            )
            check_left(path)
            if code not in _DONE:
                raise LagbenchError(sandbox.said(stderr) or f"it ended with exit code {code}")


def check_left(path: Path) -> None:
    """Delete a run's directory and raise LagbenchError if it contains a link or anything else that no run writes."""
    for file, size in entries(path):
        if size is not None and (size < 0 or (file.suffix == ".json" and size > _JSON_BYTES)):
            shutil.rmtree(path, ignore_errors=True)
            what = "not a regular file" if size < 0 else f"{size:,} bytes"
            then = f"delete {path}" if path.exists() else "it was deleted"
            raise LagbenchError(f"the run had written {shown(str(file.relative_to(path)))}, which is {what}; {then}")


def plan(
    found: Submission,
    out: Path,
    *,
    kept: Sandbox,
    beacon: Beacon | None = None,
    share: float = 1.0,
    device: str = "cpu",
    torch_threads: int = 1,
) -> Plan:
    """Plan the rerun of a submission, or return the plan that the directory already holds.

    Args:
        found: a valid submission; see ``validate``.
        out: the directory for the runs.
        kept: the sandbox.
        beacon: a public random value and its source; None: the recorded one, or one drawn locally.
        share: share of the suite's seeds to train, each with every task and value of the axis.
        device: the device of every run.
        torch_threads: number of torch threads per run.

    Raises:
        UsageError: the directory holds another rerun.
    """
    suite = load_suite(found.manifest.suite.name)
    if not SHARE <= share <= 1:
        raise UsageError(f"--cells must be a share of the suite in [{SHARE}, 1], not {share}")
    file, n = out / _RECORD, math.ceil(share * len(suite.seeds) - 1e-9)
    if file.is_file():
        record = decode(Record, file.read_bytes(), str(file))
        changed = {
            "the submission": record.submission != found.sha256,
            "the beacon": beacon is not None and record.beacon != beacon,
            "the share of cells": len(record.seeds) != n,
            "the sandbox": record.sandbox != kept.name,
        }
        if others := [name for name, other in changed.items() if other]:
            raise UsageError(f"{out} holds a rerun with another value of {' and '.join(others)}; give another -o")
    else:
        beacon = beacon or Beacon(value=secrets.token_hex(32), name=None)
        record = Record(
            format_version=1,
            submission=found.sha256,
            beacon=beacon,
            seeds=seeds(found.sha256, beacon, n),
            of=len(suite.seeds),
            sandbox=kept.name,
            lagbench=version("lagbench"),
            date=datetime.now(UTC).date().isoformat(),
        )
        with records.files.explained(out, "rerun again"):
            out.mkdir(parents=True, exist_ok=True)
            with records.files.replacing(file) as content:
                content.write(encode(record))
    cells = _cells(found, suite, record.seeds, out / _RUNS, device, torch_threads)
    return Plan(found, suite, record, out, cells)


def seeds(submission: str, beacon: Beacon, n: int) -> tuple[int, ...]:
    """Derive ``n`` training seeds from a submission's SHA-256 and a beacon's value."""
    return tuple(drawn_seeds(f"lagbench rerun {submission} {beacon.value}", n))


def _cells(
    found: Submission, suite: Suite, of: Sequence[int], out: Path, device: str, torch_threads: int
) -> tuple[Planned, ...]:
    """The cells, seed by seed, so that an interrupted rerun covers all tasks and values."""
    options = {task: dict(suite.task(task).pinned().options) for task in suite.tasks}
    algorithm = found.manifest.algorithm
    cells = []
    for seed in of:
        for task in suite.tasks:
            for value in suite.values:
                spec = RunSpec.from_json(
                    {
                        "format_version": 1,
                        **suite.planned(task, value, seed),
                        "task_options": options[task],
                        "algorithm": {"name": f"{algorithm.main}:{algorithm.cls}", "sha256": algorithm.sha256},
                        "config": found.manifest.config,
                        "record": "episodes",
                        "device": device,
                        "torch_threads": torch_threads,
                    }
                )
                path = out / task / spec.cell_name
                # A rerun that was killed may have left anything.
                check_left(path)
                cells.append(Planned(spec, path.absolute()))
    cells[0].spec.note_copies(found.path)
    return tuple(cells)


def table(planned: Plan, outcomes: Sequence[CellOutcome], kept: Sandbox) -> Rerun:
    """The table of a finished rerun, read in a sandbox too. Raises LagbenchError if a cell has no result."""
    if failed := [o for o in outcomes if o.state.status not in records.files.SCORED]:
        first = shown(f"{failed[0].cell.path}: {failed[0].state.reason or failed[0].state.status}", _SAID)
        raise LagbenchError(
            f"{len(failed)} of {len(outcomes)} cells have no result, so that there is no table ({first})"
        )
    found = _collected(planned, planned.out / _RUNS, kept)
    wanted = {_key(cell.spec) for cell in planned.cells}
    there = [_key(RunSpec.from_json(json.loads(row["spec"]))) for row in found.to_pylist(maps_as_pydicts=None)]
    if len(there) != len(wanted) or {*there} != wanted:
        raise LagbenchError(f"the runs in {planned.out} are not those that were planned; move it away, and rerun")
    paths = [str(Path(path).relative_to((planned.out / _RUNS).absolute())) for path in found["path"].to_pylist()]
    slug = planned.submission.slug
    found = published.replace(published.replace(found, "path", paths), "algorithm", [slug] * len(paths))
    return Rerun(planned.record, scoring.table.check(found, slug))


def _collected(planned: Plan, runs: Path, kept: Sandbox) -> Any:
    """The table of the planned runs, made by ``collected`` in a sandbox. Raises LagbenchError if a check fails."""
    directory = planned.out / _TABLE
    directory.mkdir(exist_ok=True)
    file = (directory / "runs.arrow").absolute()
    specs = {cell.spec.task: cell.spec for cell in planned.cells}
    outside = [spec.load_task().outside() for spec in specs.values()]
    with tempfile.TemporaryFile() as stderr:
        code = sandbox.run(
            kept,
            ["-m", "lagbench.leaderboard.collected", str(runs.absolute()), str(file)],
            directory=directory,
            readable=[runs, *(path for one in outside for path in one.paths)],
            environment={name: value for one in outside for name, value in one.environment.items()},
            limits=_COLLECTING,
            stdout=sandbox.NOWHERE,
            stderr=stderr,
        )
        check_left(directory)
        if code or not file.is_file():
            reason = sandbox.said(stderr) or f"exit code {code}"
            raise LagbenchError(f"the runs in {runs} fail their checks ({reason}); move them away")
    found = scoring.table.from_file(file)
    for name in ("lagbench", "envpool"):
        if others := {one for row in found[name].to_pylist() for one in row} - {version(name)}:
            raise LagbenchError(f"the runs in {runs} are of {name} {shown(sorted(others)[0])}, not {version(name)}")
    return found


def _key(spec: RunSpec) -> str:
    return json.dumps(spec.to_json(), sort_keys=True)


@dataclass(frozen=True)
class Again:
    """A cell of a table that was trained once more.

    Attributes:
        cell: its task, lag, updates and seed.
        elsewhere: differences between this machine and the table's that can change rows.
        exact: whether every evaluation and every policy version is the same, bit for bit.
        found: its final return; None if it diverged.
        committed: the final return in the table; None if that run diverged.
        spread: the largest accepted difference of the two on different kinds of machine.
    """

    cell: str
    elsewhere: tuple[str, ...]
    exact: bool
    found: float | None
    committed: float | None
    spread: float

    @property
    def text(self) -> str:
        """The result as a sentence."""
        if self.exact:
            return f"{self.cell}: the same, bit for bit"
        where = (
            f"on another machine ({shown('; '.join(self.elsewhere))})"
            if self.elsewhere
            else "on the same kind of machine"
        )
        finals = ", ".join(
            f"{who} {'diverged' if final is None else format(final, '.6g')}"
            for who, final in (("found", self.found), ("in the table", self.committed))
        )
        return f"{self.cell}: {'agrees' if self.agrees else 'DIFFERS'} {where}: {finals}, spread {self.spread:.3g}"

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {**asdict(self), "agrees": self.agrees}

    @property
    def agrees(self) -> bool:
        """Whether the results agree: bit for bit on the same kind of machine, else within the spread."""
        if self.exact or not self.elsewhere:
            return self.exact
        if self.found is None or self.committed is None:
            return self.found == self.committed
        return abs(self.found - self.committed) <= self.spread


def again(found: Submission, rerun: Rerun, out: Path) -> Plan:
    """Plan to train one randomly drawn cell of a rerun's table once more.

    Raises LagbenchError if the table is of another submission, or its seeds do not follow from its beacon.
    """
    suite, record = load_suite(found.manifest.suite.name), rerun.record
    wanted = seeds(found.sha256, record.beacon, len(record.seeds))
    if (record.submission, record.seeds, record.of) != (found.sha256, wanted, len(suite.seeds)):
        raise LagbenchError("the table is not of this submission, or its seeds are not those that its beacon gives")
    told = json.loads(rerun.table["spec"][0].as_py())
    cell = secrets.choice(_cells(found, suite, record.seeds, out, told["device"], told["torch_threads"]))
    shutil.rmtree(cell.path, ignore_errors=True)
    return Plan(found, suite, record, out, (cell,))


def compare(planned: Plan, rerun: Rerun, kept: Sandbox) -> Again:
    """Compare a cell that was trained again with the table. Raises LagbenchError if either has no result."""
    (row,) = _collected(planned, planned.cells[0].path, kept).to_pylist(maps_as_pydicts=None)
    name = f"{row['task']}, lag {row['lag']}, {row['updates']} updates, seed {row['seed']}"
    alike = [
        one
        for one in rerun.table.to_pylist(maps_as_pydicts=None)
        if all(one[column] == row[column] for column in ("task", "lag", "updates"))
    ]
    committed = next((one for one in alike if one["seed"] == row["seed"]), None)
    if committed is None or row["status"] not in records.files.SCORED:
        raise LagbenchError(f"the table has no {name}" if committed is None else f"{name} is {row['status']}")
    return Again(
        cell=name,
        elsewhere=tuple(records.environment.elsewhere(json.loads(committed["environment"]))),
        exact=all(row[one] == committed[one] for one in ("content_hash", "versions_sha256", "status")),
        found=row["final"],
        committed=committed["final"],
        spread=_spread(row, committed, [one["final"] for one in alike if one["final"] is not None]),
    )


def _spread(one: Mapping[str, Any], other: Mapping[str, Any], finals: Sequence[float]) -> float:
    """Three standard errors of a difference in final returns: over seeds, or with one seed over evaluation episodes."""
    if len(finals) > 1:
        return _SPREAD * sqrt(2) * float(np.std(finals, ddof=1))
    return _SPREAD * sqrt(sum((row["errors"][-1] or 0.0) ** 2 for row in (one, other)))
