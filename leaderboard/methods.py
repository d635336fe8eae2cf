"""The methods of a suite: submissions, their reruns, and baselines."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.compute as pc

from lagbench import LagbenchError, Suite, load_suite, scoring, suite_names
from lagbench.leaderboard import published, reruns, validate
from lagbench.leaderboard.reruns import Record
from lagbench.leaderboard.submission import Submission

SUBMISSIONS = Path(__file__).parent / "submissions"
"""Submissions of a checkout: one directory per suite with one directory per submission; ``reruns/`` is beside it."""
_NOT_SHOWN = {"TESTING"}
"""Suites that have a board only if something was submitted to them."""
_BASELINE = ".baseline"
"""Suffix of the keys of baselines; no slug can end so."""
_SUBMITTED = " (submitted)"


@dataclass(frozen=True)
class Method:
    """A method of a board.

    Attributes:
        key: unique id in URLs: a submission's slug, or for a baseline a name that cannot be a slug.
        name: name given by its authors.
        algorithm: its name on the command line.
        source: text of its modules by path.
        submission: the submission; None for a baseline.
        record: the record of the rerun; None without a rerun.
        runs: the maintainers' runs as cells of the suite; None without any.
        stale: whether the rerun is of an earlier version of the submission, and ignored.
    """

    key: str
    name: str
    algorithm: str
    source: Mapping[str, str]
    submission: Submission | None
    record: Record | None
    runs: Any | None
    stale: bool = False

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline, whatever its name."""
        return self.submission is None

    @property
    def label(self) -> str:
        """The label of its runs; no submission can have a baseline's."""
        return self.name if self.is_baseline else f"{self.key}{_SUBMITTED}"


def suites(directory: Path) -> list[str]:
    """The suites that have a board: all that can be run, TESTING only if something was submitted to it.

    Raises UsageError if a subdirectory is not named after a suite.
    """
    submitted = [path.name for path in sorted(directory.glob("*")) if path.is_dir() and any(path.iterdir())]
    for name in submitted:
        load_suite(name)
    return [name for name in suite_names() if name not in _NOT_SHOWN or name in submitted]


def find(suite: Suite, directory: Path) -> list[Method]:
    """The methods of a suite: its baselines, then its submissions, sorted by key.

    Raises LagbenchError if a submission is not valid, or a rerun belongs to none.
    """
    paths = sorted(path for path in (directory / suite.name).glob("*") if path.is_dir())
    known = {path.name for path in paths}
    for file in sorted((directory.resolve().parent / "reruns" / suite.name).glob("*.arrow")):
        if file.stem not in known:
            raise LagbenchError(
                f"{file} belongs to no submission to {suite.name}: {directory / suite.name} has none with this name"
            )
    return [*_baselines(suite), *(_submitted(suite, path) for path in paths)]


def _baselines(suite: Suite) -> list[Method]:
    if not published.file_of(suite.runs.name).is_file():
        return []
    table = published.load(suite)
    found = []
    for name in published.algorithms(table):
        runs = table.filter(pc.equal(table["algorithm"], name))
        # A family's table may have algorithms that were not run on all of this suite.
        if not any(entry.missing for entry in scoring.grid.read(runs, suite=suite.name).entries):
            found.append(Method(f"{name}{_BASELINE}", name, name, _installed(name), None, None, runs))
    return found


def _installed(name: str) -> dict[str, str]:
    """The source of an installed algorithm; empty if it is no longer installed."""
    for point in entry_points(group="lagbench.algorithms", name=name):
        spec = importlib.util.find_spec(point.module)
        if spec and spec.origin:
            return {Path(spec.origin).name: Path(spec.origin).read_text(encoding="utf-8")}
    return {}


def _submitted(suite: Suite, path: Path) -> Method:
    found = validate.valid(path)
    file = reruns.file_of(path)
    rerun = reruns.read(file) if file.is_file() else None
    stale = rerun is not None and rerun.record.submission != found.sha256
    return Method(
        key=path.name,
        name=found.manifest.name,
        algorithm=found.manifest.algorithm.name,
        source={name: content.decode(errors="replace") for name, content in found.source.files.items()},
        submission=found,
        record=rerun.record if rerun and not stale else None,
        runs=as_cells(rerun.table, suite, f"{path.name}{_SUBMITTED}") if rerun and not stale else None,
        stale=stale,
    )


def as_cells(table: Any, suite: Suite, label: str) -> Any:
    """Relabel runs with drawn seeds as cells of a suite, under a label; seeds are mapped in increasing order.

    The mapping is arbitrary: nothing is paired by seed.
    """
    rows = table.select(["seed", "path"]).to_pylist()
    seeds = sorted({row["seed"] for row in rows})
    if len(seeds) > len(suite.seeds):
        raise LagbenchError(f"the rerun of {label} has {len(seeds)} seeds, but {suite.name} has {len(suite.seeds)}")
    named = dict(zip(seeds, suite.seeds, strict=False))
    for column, values in (
        ("algorithm", [label] * len(rows)),
        ("suite", [suite.runs.name] * len(rows)),
        ("suite_sha256", [suite.runs.sha256] * len(rows)),
        ("seed", [named[row["seed"]] for row in rows]),
        ("path", [f"{label}/{row['path']}" for row in rows]),
    ):
        table = published.replace(table, column, values)
    return table


def numbers(method: Method, suite: Suite) -> dict[tuple[Any, ...], Sequence[float]]:
    """Returns by cell on the suite's own seeds: a submission's claim, or a baseline's published runs."""
    if method.submission is not None:
        rows = [msgspec.structs.asdict(cell) for cell in method.submission.claim.cells]
    else:
        assert method.runs is not None
        rows = method.runs.select(["task", suite.axis, "seed", "returns"]).to_pylist()
    return {suite.cell_of(row): row["returns"] for row in rows}
