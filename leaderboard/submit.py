"""Create a submission from runs: check for missing cells, then write the directory atomically."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lagbench import LagbenchError, RunSpec, Source, Suite, UsageError, load_suite, records, scoring
from lagbench import open as open_run
from lagbench.leaderboard import submission
from lagbench.leaderboard.submission import (
    Algorithm,
    Cell,
    Claim,
    Installed,
    Manifest,
    Statement,
    Submission,
    SuiteName,
)

_Row = Mapping[str, Any]


class Incomplete(LagbenchError):
    """Cells of the grid have no result; ``missing`` lists them with the reasons."""

    def __init__(self, message: str, missing: Sequence[str]) -> None:
        super().__init__(message)
        self.missing = tuple(missing)


@dataclass(frozen=True)
class Chosen:
    """The runs to submit, one per cell of the suite, and a specification for their common method."""

    suite: Suite
    spec: RunSpec
    rows: tuple[_Row, ...]


@dataclass(frozen=True)
class Metadata:
    """The authors' part of the ``Manifest``."""

    name: str
    authors: tuple[str, ...]
    url: str
    license: str
    statement: Statement


def choose(
    paths: Sequence[Path],
    *,
    algo: str | None = None,
    suite: str | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Chosen:
    """The runs in and below some directories, as the complete grid of one method over one suite.

    Args:
        paths: directories.
        algo: name of the algorithm in its runs; may be None if all runs are of one algorithm.
        suite: name of the suite; likewise.
        progress: called with the number of runs read and in total.

    Raises:
        UsageError: there is no run of that algorithm or suite, or there are several to choose from; several runs of one
            cell; or runs with different sources or settings.
        Incomplete: a cell has no result.
        LagbenchError: a run cannot be read.
    """
    rows = scoring.table.collect(paths, progress).to_pylist(maps_as_pydicts=None)
    family = load_suite(suite).runs.name if suite else None
    rows = _of_one("suite", "--suite", [row for row in rows if row["suite"]], "suite", family)
    rows = _of_one("algorithm", "--algo", rows, "algorithm", algo)
    whole = load_suite(suite or rows[0]["suite"])
    rows = _grid(whole, rows)
    _check_alike(rows, [_spec(row) for row in rows])
    return Chosen(whole, open_run(rows[0]["path"]).spec, tuple(rows))


def _spec(row: _Row) -> RunSpec:
    return RunSpec.from_json(json.loads(row["spec"]))


def _of_one(what: str, option: str, rows: Sequence[_Row], column: str, wanted: str | None) -> list[_Row]:
    """The rows with ``wanted`` in a column; if None, all rows, which must have one value there."""
    names = sorted({row[column] for row in rows})
    if wanted is None:
        if len(names) > 1:
            raise UsageError(f"there are runs of several {what}s; choose one with {option}: {', '.join(names)}")
        wanted = names[0] if names else None
    if wanted not in names:
        known = f"; there are runs of {', '.join(names)}" if names else ""
        raise UsageError(f"there is no run of {f'the {what} {wanted}' if wanted else f'a {what}'}{known}")
    return [row for row in rows if row[column] == wanted]


def _grid(suite: Suite, rows: Iterable[_Row]) -> list[_Row]:
    """A finished run for each cell, in the order of the suite."""
    found: dict[tuple[Any, ...], list[_Row]] = {}
    for row in rows:
        found.setdefault(suite.cell_of(row), []).append(row)
    chosen, missing = [], []
    for cell in suite.cells():
        place = (cell.task, getattr(cell.protocol, suite.axis), cell.seed)
        own = found.get(place, [])
        finished = [row for row in own if row["status"] in records.files.SCORED]
        if len(finished) > 1:
            raise UsageError(
                f"{finished[0]['path']} and {finished[1]['path']} are both of {_named(suite, place)}; give "
                f"directories with one run per cell, not chosen by score"
            )
        if finished:
            suite.check(_spec(finished[0]))
            chosen.append(finished[0])
        else:
            reason = f"{own[0]['path']} is {own[0]['status']}" if own else "no run"
            missing.append(f"{_named(suite, place)}: {reason}")
    if missing:
        total = len(chosen) + len(missing)
        raise Incomplete(f"{len(missing)} of the {total} cells of {suite.name} have no result", missing)
    return chosen


def _named(suite: Suite, place: tuple[Any, ...]) -> str:
    return f"{place[0]}, {suite.axis} {place[1]}, seed {place[2]}"


def _check_alike(rows: Sequence[_Row], specs: Sequence[RunSpec]) -> None:
    """Raise UsageError if runs differ in source, hyperparameters, device or torch threads."""
    values = {
        "the source": [row["algorithm_source"] for row in rows],
        "the device": [spec.device for spec in specs],
        "torch_threads": [spec.torch_threads for spec in specs],
        **{
            name: [json.dumps(spec.config.get(name)) for spec in specs]
            for name in sorted({name for spec in specs for name in spec.config})
        },
    }
    for name, own in values.items():
        (usual, _), *others = Counter(own).most_common()
        if others:
            odd = [row["path"] for row, value in zip(rows, own, strict=True) if value != usual]
            raise UsageError(
                f"all runs must have the same method and settings, but {name} is {usual} in most and {others[0][0]} "
                f"in {odd[0]}" + (f" and {len(odd) - 1} more" if len(odd) > 1 else "")
            )


def submit(chosen: Chosen, metadata: Metadata, out: Path) -> Submission:
    """Write a submission. The same runs and metadata give the same bytes.

    Args:
        chosen: the runs.
        metadata: name, authors, licence and statement.
        out: the directory, which must not exist; its name is the submission's id.

    Raises:
        UsageError: the directory exists or has an invalid name; the metadata are not valid; or the source is missing or
            incomplete.
        LagbenchError: the directory cannot be written.
    """
    check_out(out)
    method = manifest(chosen, metadata, out.name)
    check_manifest(method)
    with records.export.appearing(out) as directory:
        submission.write(directory, method, claim(chosen), source(chosen.spec))
    return submission.read(out)


def check_out(out: Path) -> None:
    """Raise UsageError if the directory exists or has an invalid name, LagbenchError if it cannot be written."""
    if fault := submission.slug_fault(out.name):
        raise UsageError(f"the name of a submission's directory {fault}; give another -o")
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} already exists, and submissions are not changed; move it away, or give another -o")
    records.files.check_writable(out, "submit again")


def check_manifest(method: Manifest) -> None:
    """Raise UsageError for a manifest that is not valid."""
    try:
        submission.check(method)
    except LagbenchError as error:
        raise UsageError(str(error)) from None


def manifest(chosen: Chosen, metadata: Metadata, slug: str) -> Manifest:
    """The manifest of the runs and their method."""
    spec = chosen.spec
    found, cls, installed = source(spec), *_class(spec)
    return Manifest(
        format_version=2,
        name=metadata.name,
        slug=slug,
        authors=metadata.authors,
        url=metadata.url,
        license=metadata.license,
        algorithm=Algorithm(main=found.main, cls=cls, sha256=found.sha256, installed=installed),
        config=dict(spec.config),
        suite=SuiteName(name=chosen.suite.name, sha256=chosen.suite.sha256),
        statement=metadata.statement,
        results="",
        lagbench=version("lagbench"),
    )


def _class(spec: RunSpec) -> tuple[str, Installed | None]:
    """The name of an algorithm's class, and its distribution if it is installed."""
    said = spec.to_json()["algorithm"]
    if "distribution" not in said:
        return said["name"].rpartition(":")[2], None
    return spec.load_algorithm().__name__, Installed(**said)


def source(spec: RunSpec) -> Source:
    """The modules of a run's algorithm; for an installed one, the module with its class.

    Raises UsageError if they are missing, or if that module imports others of its distribution.
    """
    kept = spec.sources().get("source")
    if kept is not None:
        return kept
    module = sys.modules[spec.load_algorithm().__module__]
    file = Path(str(module.__file__))
    own = module.__name__.rpartition(".")[0]
    content = file.read_bytes()
    if re.search(rb"^\s*from\s+\.|^\s*(?:from|import)\s+" + re.escape(own.encode()) + rb"\b", content, re.MULTILINE):
        raise UsageError(
            f"{spec.algorithm.name} is installed, and its module imports others of its distribution, which cannot be "
            f"submitted; run it from a file: --algo path/to/{file.name}:{_class(spec)[0]}"
        )
    return Source(file.name, {file.name: content})


def claim(chosen: Chosen) -> Claim:
    """The results of the runs."""
    plan, spec = chosen.suite.evaluation, chosen.spec
    return Claim(
        format_version=2,
        budget=chosen.suite.budget,
        episodes=plan.episodes,
        mode_episodes=plan.mode_episodes or 0,
        intervals=plan.intervals,
        device=spec.device,
        torch_threads=spec.torch_threads,
        packages={
            name: tuple(sorted({one for row in chosen.rows for one in row[name]})) for name in ("envpool", "lagbench")
        },
        cells=tuple(
            Cell(
                task=row["task"],
                lag=row["lag"],
                updates=row["updates"],
                seed=row["seed"],
                status=row["status"],
                returns=tuple(row["returns"]),
                errors=tuple(row["errors"]),
                mode_returns=tuple(row["mode_returns"]),
                mode_errors=tuple(row["mode_errors"]),
            )
            for row in chosen.rows
        ),
    )
