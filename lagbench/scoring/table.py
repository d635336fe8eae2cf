"""Run directories as one Arrow table, with one row per run: the only input of scoring."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lagbench.errors import LagbenchError, UsageError
from lagbench.records import environment
from lagbench.records.files import SCORED, explained, replacing
from lagbench.records.reader import Run, open_run
from lagbench.scoring.course import COURSE, DIAGNOSTICS, measured, versions_sha256
from lagbench.scoring.find import find_runs
from lagbench.spec import EvaluationPlan

FORMAT_VERSION = 3
"""Version of the table's columns."""
NAME = "lagbench scores"
"""Name of the format in a table's metadata."""
SCHEMA = pa.schema(
    [
        ("algorithm", pa.string()),
        ("algorithm_source", pa.string()),
        ("config", pa.string()),
        ("suite", pa.string()),
        ("suite_sha256", pa.string()),
        ("task", pa.string()),
        ("task_options", pa.string()),
        ("lag", pa.int32()),
        ("updates", pa.int32()),
        ("forward", pa.string()),
        ("protocol", pa.string()),
        ("budget", pa.int64()),
        ("evaluation_episodes", pa.int32()),
        ("evaluation_mode_episodes", pa.int32()),
        ("evaluation_intervals", pa.int32()),
        ("seed", pa.int64()),
        ("status", pa.string()),
        ("fractions", pa.list_(pa.float64())),
        ("returns", pa.list_(pa.float64())),
        ("errors", pa.list_(pa.float64())),
        ("mode_returns", pa.list_(pa.float64())),
        ("mode_errors", pa.list_(pa.float64())),
        ("final", pa.float64()),
        ("area", pa.float64()),
        *[(name, pa.float64()) for name in DIAGNOSTICS],
        ("metrics", pa.map_(pa.string(), pa.float64())),
        ("course", COURSE),
        ("versions_sha256", pa.string()),
        ("spec", pa.string()),
        ("lagbench", pa.list_(pa.string())),
        ("envpool", pa.list_(pa.string())),
        ("environment", pa.string()),
        ("content_hash", pa.string()),
        ("path", pa.string()),
    ],
    metadata={"table": NAME, "format_version": str(FORMAT_VERSION)},
)
"""Columns and types; docs/scores.md has their units and meaning."""
_STATUSES = (*SCORED, "failed", "unfinished")
_NULLABLE = {
    "algorithm_source",
    "suite",
    "suite_sha256",
    "evaluation_mode_episodes",
    "final",
    "area",
    *DIAGNOSTICS,
    "course",
    "versions_sha256",
    "content_hash",
}
_ORDER = ("algorithm", "config", "suite", "task", "lag", "updates", "seed", "status", "content_hash", "path")
Progress = Callable[[int, int], object]
"""Called with the number done and in total."""


def collect(paths: Sequence[Path], progress: Progress = lambda done, total: None) -> Any:
    """The table of all runs in and below some directories, including unfinished and failed ones.

    Content hashes are verified. Rows are sorted, so the order of ``paths`` does not matter.

    Args:
        paths: directories.
        progress: called with the number of runs read and in total.

    Returns:
        A pyarrow table of ``SCHEMA``.

    Raises:
        UsageError: a directory does not exist, or contains no run.
        RecordError: a run cannot be read.
    """
    runs = find_runs(paths)
    rows = []
    for i, path in enumerate(runs):
        rows.append(_row(open_run(path)))
        progress(i + 1, len(runs))
    return check(pa.Table.from_pylist(rows, SCHEMA), "the runs")


def concat(tables: Sequence[Any]) -> Any:
    """Several tables as one.

    Args:
        tables: tables of ``SCHEMA``.

    Returns:
        All rows, sorted.
    """
    return _sorted(pa.concat_tables(tables))


def _row(run: Run) -> dict[str, Any]:
    spec = run.spec
    finished = run.status in SCORED
    if finished:
        run.check_hashes(("evaluations", "phases"))
    curve = run.curve() if finished else []
    beside = run.curve("mode") if finished and spec.evaluation.measure != "mode" else []
    returns, fractions = [point.mean for point in curve], [point.fraction for point in curve]
    whole = run.status == "completed"
    return {
        "algorithm": _text(spec.algorithm.name),
        "algorithm_source": None if spec.algorithm.is_former else spec.algorithm.source,
        "config": canonical(spec.config),
        "suite": spec.suite and spec.suite.name,
        "suite_sha256": spec.suite and spec.suite.sha256,
        "task": spec.task,
        "task_options": canonical(spec.task_options),
        "lag": spec.protocol.lag,
        "updates": spec.protocol.updates,
        "forward": spec.protocol.forward,
        "protocol": canonical(spec.protocol.to_json()),
        "budget": spec.budget,
        "evaluation_episodes": spec.evaluation.episodes,
        "evaluation_mode_episodes": spec.evaluation.mode_episodes,
        "evaluation_intervals": spec.evaluation.intervals,
        "seed": spec.seed,
        "status": run.status,
        "fractions": fractions,
        "returns": returns,
        "errors": [point.standard_error for point in curve],
        "mode_returns": [point.mean for point in beside],
        "mode_errors": [point.standard_error for point in beside],
        "final": returns[-1] if whole and curve else None,
        "area": float(np.trapezoid(returns, fractions)) if whole and curve else None,
        **(_measured(run) if finished else dict.fromkeys(_MEASURED) | {"metrics": []}),
        "spec": canonical(spec.to_json()),
        **_environment(run),
        "content_hash": run.result["content_hash"]["evaluations"] if finished and run.result else None,
        "path": _text(str(run.path)),
    }


def _text(path: str) -> str:
    """A path as text, with undecodable bytes escaped."""
    return path.encode(errors="backslashreplace").decode()


_MEASURED = (*DIAGNOSTICS, "metrics", "course", "versions_sha256")


def _measured(run: Run) -> dict[str, Any]:
    means, metrics, course = measured(run)
    return {**means, "metrics": metrics, "course": course, "versions_sha256": versions_sha256(run)}


_PLACE = ("packages", "python", "platform", "cpu", "device", "torch_threads", "envpool_threads")


def _environment(run: Run) -> dict[str, Any]:
    """The distinct environments and versions in which a run was started and resumed; empty if not recorded."""
    entries = run.environment if (run.path / environment.FILE).exists() else []
    places: list[dict[str, Any]] = [{name: entry.get(name) for name in _PLACE} for entry in entries]
    versions: dict[str, Any] = {
        name: sorted({str(version) for place in places if (version := place["packages"].get(name)) is not None})
        for name in ("lagbench", "envpool")
    }
    distinct = [place for i, place in enumerate(places) if place not in places[:i]]
    return {**versions, "environment": json.dumps(distinct, sort_keys=True, separators=(",", ":"))}


def canonical(data: Mapping[str, Any]) -> str:
    """Canonical JSON: equal for equal data.

    Args:
        data: JSON-compatible.

    Returns:
        One line, with sorted keys.
    """
    return json.dumps(dict(data), sort_keys=True, separators=(",", ":"))


def check(table: Any, what: str) -> Any:
    """Verify that a table can be scored.

    Args:
        table: a pyarrow table.
        what: name of the table, for messages.

    Returns:
        The table, sorted.

    Raises:
        LagbenchError: a column or a value cannot be scored.
    """
    if not table.schema.equals(SCHEMA):
        raise LagbenchError(f"{what} cannot be scored: the columns are not those of docs/scores.md")
    table = table.replace_schema_metadata(SCHEMA.metadata)
    for field in SCHEMA:
        if field.name not in _NULLABLE and table.column(field.name).null_count:
            raise LagbenchError(f"{what} cannot be scored: a row has no {field.name}")
    for row in table.to_pylist(maps_as_pydicts=None):
        if problem := _problem(row):
            raise LagbenchError(f"{row['path']} cannot be scored: {problem}; run it again, or exclude it")
    return _sorted(table)


def plan_of(row: Mapping[str, Any]) -> EvaluationPlan:
    """The evaluation plan of a run.

    Args:
        row: a row of a table of runs, by column.

    Returns:
        The plan.
    """
    return EvaluationPlan(row["evaluation_episodes"], row["evaluation_intervals"], row["evaluation_mode_episodes"])


def _problem(row: Mapping[str, Any]) -> str:
    fractions, returns = row["fractions"], row["returns"]
    planned = list(plan_of(row).fractions)
    if row["status"] not in _STATUSES:
        return f"its status is {row['status']!r}"
    for values in (returns, row["mode_returns"]):
        for fraction, value in zip(fractions, values, strict=False):
            if value is None or not math.isfinite(value):
                return f"its return at {fraction:.0%} of the budget is not finite"
    if len(row["errors"]) != len(returns) or len(row["mode_errors"]) != len(row["mode_returns"]):
        return "the number of standard errors is not that of its evaluations"
    if len(row["mode_returns"]) != (0 if row["evaluation_mode_episodes"] is None else len(returns)):
        return "mean actions and sampled actions were not evaluated at the same points"
    if row["status"] == "diverged" and not returns:
        return "its first policy was not evaluated"
    if len(fractions) != len(returns) or fractions != planned[: len(fractions)]:
        return "its evaluations are not at the planned fractions of the budget"
    if row["status"] == "completed":
        if len(fractions) != len(planned):
            return f"it has {len(fractions)} of {len(planned)} evaluations, although it is completed"
        if row["final"] != returns[-1] or not _close(row["area"], float(np.trapezoid(returns, fractions))):
            return "its final return or area does not match its evaluations"
    elif row["final"] is not None or row["area"] is not None:
        return "it has a final return, although it did not use its whole budget"
    return ""


def _close(value: float | None, wanted: float) -> bool:
    return value is not None and math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-9)


def _sorted(table: Any) -> Any:
    rows = sorted(table.to_pylist(maps_as_pydicts=None), key=lambda row: [_key(row[name]) for name in _ORDER])
    return pa.Table.from_pylist(rows, SCHEMA)


def _key(value: Any) -> Any:
    return (value is not None, value if value is not None else 0)


def to_file(table: Any, file: Path) -> None:
    """Write a table as an Arrow IPC file, atomically.

    Args:
        table: a table of ``SCHEMA``.
        file: the destination.

    Raises:
        RecordError: it cannot be written.
    """
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with explained(file, "make the table again"):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as out, pa.ipc.new_file(out, table.schema, options=options) as writer:
            writer.write_table(table)


def from_file(file: Path) -> Any:
    """Read a table of runs.

    Args:
        file: a file written by ``to_file``.

    Returns:
        A pyarrow table of ``SCHEMA``.

    Raises:
        LagbenchError: the file contains no table that can be scored.
    """
    try:
        with file.open("rb") as source:
            reader = pa.ipc.open_file(source)
            metadata = reader.schema.metadata or {}
            if metadata.get(b"table") != NAME.encode():
                raise UsageError(
                    f"{file} is not a table of runs; make one with: lagbench score RUNS --table {file.name}"
                )
            if (version := metadata.get(b"format_version", b"?").decode()) != str(FORMAT_VERSION):
                raise LagbenchError(
                    f"{file} has format {version}; this lagbench reads {FORMAT_VERSION}: install the newest one (pip "
                    f"install -U lagbench), or create it again from the runs"
                )
            table = reader.read_all()
            table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise LagbenchError(f"{file} cannot be read ({reason}); create it again from the runs") from error
    return check(table, str(file))
