"""Published runs of a suite, or of a family of suites, as one table that ships with lagbench: ``scores/*.arrow``.

A table is named after the suite or family in the specifications of its runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lagbench import LagbenchError, Suite, UsageError, load_suite, records, scoring, suite_names

DIRECTORY = Path(__file__).parent / "scores"


def file_of(runs: str) -> Path:
    """The table of a suite's or family's runs; the file need not exist."""
    return DIRECTORY / f"{runs}.arrow"


def suites() -> list[str]:
    """The suites that can be run and have published runs, sorted."""
    return [name for name in suite_names() if file_of(load_suite(name).runs.name).is_file()]


def load(suite: Suite) -> Any:
    """The published runs of a suite, one row per run. Raises LagbenchError if there are none; see also ``read``."""
    file = file_of(suite.runs.name)
    if file.is_file():
        return read(file, suite)
    have = ", ".join(suites()) or "none yet"
    raise LagbenchError(
        f"no scores are published for {suite.name} (published: {have}); run the baselines, lagbench sweep --suite "
        f"{suite.name} --algo ppo,vaco -o runs/{suite.name}, make a table of them, lagbench score runs/{suite.name} "
        f"--table {suite.name}.arrow, and compare with --baselines {suite.name}.arrow"
    )


def read(file: Path, suite: Suite) -> Any:
    """Read a table of runs. Raises LagbenchError if new runs of the suite cannot be compared with them.

    This is the case for another format, another suite or version, or another minor version of EnvPool.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {str(file)!r}; make one with: lagbench score RUNS --table {file.name}")
    table = scoring.table.from_file(file)
    for name, sha256 in sorted(set(zip(*_columns(table, "suite", "suite_sha256"), strict=True)), key=str):
        if name != suite.runs.name:
            raise UsageError(f"{file} contains runs of {name or 'no suite'}, not of {suite.name}")
        if sha256 != (here := suite.runs.sha256):
            raise UsageError(
                f"{file} contains runs of another version of {name} ({sha256[:12]}…) than this lagbench's "
                f"({here[:12]}…); "
                "compare with the version of lagbench that made them"
            )
    here = _minor(version("envpool"))
    for there in sorted({_minor(one) for versions in _columns(table, "envpool")[0] for one in versions}):
        if there != here:
            raise UsageError(
                f"{file} holds runs with EnvPool {there}, whose physics differ from the installed {here}; install: "
                f"pip install 'envpool=={there}.*'"
            )
    return table


def choose(table: Any, names: Sequence[str]) -> Any:
    """The rows of the named algorithms; all rows without names. Raises UsageError for an unknown name."""
    known = algorithms(table)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}? Known" if close else "choose from"
            raise UsageError(f"{name!r} is not one of the baselines; {hint}: {', '.join(known)}")
    return table.filter(pc.is_in(table["algorithm"], pa.array(names, pa.string()))) if names else table


def algorithms(table: Any) -> list[str]:
    """The names of the algorithms in a table, sorted."""
    return sorted(set(*_columns(table, "algorithm")))


def build(runs: Path) -> Any:
    """The table to publish: all runs in a directory, or in a table, named after their suite or family.

    Paths in the table begin with that name. Raises UsageError or LagbenchError if a run is of another suite, is not
    finished or has no environment.json, if cells are missing, or if the runs cannot be scored together.
    """
    table = scoring.table.from_file(runs) if runs.is_file() else scoring.table.collect([runs.resolve()])
    for path, name, status, envpool in zip(*_columns(table, "path", "suite", "status", "envpool"), strict=True):
        if name != runs.stem:
            raise UsageError(f"{path} belongs to {name or 'no suite'}, but {runs.name} is named after {runs.stem}")
        if status not in records.files.SCORED:
            raise LagbenchError(f"{path} cannot be published: it is {status}")
        if not envpool:
            raise LagbenchError(f"{path} cannot be published: it has no environment.json, so its physics is not known")
    if runs.is_dir():
        root = runs.resolve().parent
        paths = [Path(path).relative_to(root).as_posix() for path in _columns(table, "path")[0]]
        table = scoring.table.check(replace(table, "path", paths), str(runs))
    for entry in scoring.grid.read(table).entries:
        if entry.missing:
            raise LagbenchError(f"{runs} cannot be published: {entry.label} lacks {'; '.join(entry.missing)}")
    return table


def replace(table: Any, column: str, values: Iterable[Any]) -> Any:
    """Replace the values of a column."""
    i = table.schema.get_field_index(column)
    field = table.schema.field(i)
    return table.set_column(i, field, pa.array(values, field.type))


def _columns(table: Any, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]


def _minor(full: str) -> str:
    return ".".join(full.split(".")[:2])
