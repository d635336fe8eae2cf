"""``rerun``: a submission's source trained again, in a sandbox, on seeds that nobody chose; its table is what ranks."""

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
"""The least share of a suite's cells that a rerun may have."""
_RECORD, _RUNS, _TABLE = "rerun.json", "runs", "table"
_JOB = "job.json"  # not as a run calls it, for it is none
_DONE = (0, 3)  # completed, diverged
_JSON_BYTES = 1 << 20
_COLLECTING = Limits(file=1 << 24, directory=1 << 24)
_SPREAD = 3.0
_SAID = 1_000


@dataclass(frozen=True)
class Plan:
    """What is to be trained of a submission, and where; ``cells`` as ``lagbench.run_grid`` takes them."""

    submission: Submission
    suite: Suite
    record: Record
    out: Path
    cells: tuple[Planned, ...]


@dataclass(frozen=True)
class Cell:
    """Does a cell of a sweep in a sandbox, from a process that reads nothing of what the cell writes."""

    sandbox: Sandbox
    limits: Limits

    def __call__(self, spec: RunSpec, path: Path, *, threads: int, sinks: Sequence[object]) -> None:
        """Train it, or go on with it. Raises LagbenchError where it came to no result."""
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
    """Raise LagbenchError where a run's directory holds what none has, which is deleted: nobody is to follow a link."""
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
    """What is to be trained of a submission; what was planned before in that directory stands.

    Args:
        found: valid, see ``validate``.
        out: a directory for the runs.
        kept: the sandbox.
        beacon: a value that nobody chose, and whose; None: one is drawn, once.
        share: of the suite's seeds, each with every task and value of the axis.
        device: on which every run computes.
        torch_threads: of every run.

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
    """The training seeds that follow from a submission's SHA-256 and a beacon's value."""
    return tuple(drawn_seeds(f"lagbench rerun {submission} {beacon.value}", n))


def _cells(
    found: Submission, suite: Suite, of: Sequence[int], out: Path, device: str, torch_threads: int
) -> tuple[Planned, ...]:
    """Seed by seed, so that one that is cut short has something of each task and value."""
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
                # Of a rerun that was killed nobody knows what is left.
                check_left(path)
                cells.append(Planned(spec, path.absolute()))
    cells[0].spec.note_copies(found.path)
    return tuple(cells)


def table(planned: Plan, outcomes: Sequence[CellOutcome], kept: Sandbox) -> Rerun:
    """The table of a rerun that is done, read in a sandbox too. Raises LagbenchError where a cell has no result."""
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
    """The table of the runs of some cells, see ``collected``. Raises LagbenchError where they are not what they say."""
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
            raise LagbenchError(f"the runs in {runs} are not what they say ({reason}); move them away")
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
        cell: which.
        elsewhere: in what this machine differs from that of the table, as far as rows follow from it.
        exact: whether every evaluation and every policy version is the same, bit for bit.
        found: its final return, None where it diverged.
        committed: that in the table.
        spread: what the two may differ by where they are not of one kind of machine.
    """

    cell: str
    elsewhere: tuple[str, ...]
    exact: bool
    found: float | None
    committed: float | None
    spread: float

    @property
    def text(self) -> str:
        """What came out, as a sentence."""
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
        """Whether the table stands: bit for bit on the same kind of machine, else within the spread."""
        if self.exact or not self.elsewhere:
            return self.exact
        if self.found is None or self.committed is None:
            return self.found == self.committed
        return abs(self.found - self.committed) <= self.spread


def again(found: Submission, rerun: Rerun, out: Path) -> Plan:
    """The plan of one cell of a submission's table, drawn now, to be trained anew.

    Raises LagbenchError where the table is of another submission, or its seeds do not follow from its beacon.
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
    """A cell that was trained again, held to the table. Raises LagbenchError where there is nothing to compare."""
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
    """Of the difference of two runs with the same settings: that over seeds, or of their evaluations alone."""
    if len(finals) > 1:
        return _SPREAD * sqrt(2) * float(np.std(finals, ddof=1))
    return _SPREAD * sqrt(sum((row["errors"][-1] or 0.0) ** 2 for row in (one, other)))
