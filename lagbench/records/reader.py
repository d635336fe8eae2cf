"""A run as it lies on disk, finished or not: ``open_run(path)``."""

from __future__ import annotations

import difflib
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import safetensors
import safetensors.torch
import torch

from lagbench.errors import RecordError, UsageError
from lagbench.policies.gaussian import GaussianPolicy
from lagbench.records import streams
from lagbench.records.display import run_html
from lagbench.records.files import POLICY_FILE, RESULT_FILE, SPEC_FILE, TABLE_FILE
from lagbench.records.schema import FORMAT_VERSION, TABLES, check_table
from lagbench.spec import RunSpec

RUNS = Path("runs")


class Run:
    """One run, read only. Of a run that is not finished it shows the phases committed when a table was first asked for.

    Attributes:
        path: its directory.
        spec: what was run.
        result: what result.json holds; None while the run is not finished.
    """

    def __init__(self, path: Path, spec: RunSpec, result: dict[str, Any] | None) -> None:
        self.path = path
        self.spec = spec
        self.result = result

    @property
    def status(self) -> str:
        """``completed``, ``diverged`` or ``failed``; ``unfinished`` where the run goes on or was interrupted."""
        return "unfinished" if self.result is None else str(self.result["status"])

    @property
    def summary(self) -> dict[str, Any]:
        """The run's summary; empty while it is not finished."""
        return {} if self.result is None else dict(self.result["summary"])

    @functools.cached_property
    def trajectories(self) -> Any:
        """Every valid transition, as a pyarrow dataset. Raises RecordError where the run recorded episodes only."""
        if self.spec.record != "trajectories":
            raise RecordError(f"{self.path} has no trajectories: it was run with --record episodes")
        return self._table("trajectories")

    @functools.cached_property
    def episodes(self) -> Any:
        """The training episodes that ended, as a pyarrow dataset."""
        return self._table("episodes")

    @functools.cached_property
    def evaluations(self) -> Any:
        """The evaluation episodes, as a pyarrow dataset."""
        return self._table("evaluations")

    @functools.cached_property
    def phases(self) -> Any:
        """One row a phase, as a pyarrow dataset."""
        return self._table("phases")

    def policy(self) -> GaussianPolicy:
        """The policy after the last phase. Raises RecordError where there is none or the file is damaged."""
        file = self.path / POLICY_FILE
        if self.result is None:
            raise RecordError(f"{self.path} has no policy yet: it is not finished; see: lagbench resume {self.path}")
        if self.status == "failed" and not file.exists():
            raise RecordError(f"{self.path} has no policy: the run failed; see: lagbench show {self.path}")
        # The sizes from the records: to look at a policy takes no simulator.
        schema = self.evaluations.schema
        observation_size, action_size = (
            schema.field(name).type.value_type.list_size for name in ("observation", "action")
        )
        # The initial weights are overwritten, so that any generator does.
        policy = GaussianPolicy(observation_size, action_size, torch.Generator())
        try:
            policy.load_state_dict(safetensors.torch.load_file(file))
        except (OSError, RuntimeError, safetensors.SafetensorError) as error:
            raise _unreadable(file, error) from error
        return policy

    def curve(self) -> list[tuple[float, float, int]]:
        """(fraction of the budget, mean return, budget used) of every evaluation of the policy's mode, in order.

        An evaluation that stands for several fractions gives one entry each.
        """
        columns = ["evaluation", "fractions", "budget_used", "return"]
        table = self.evaluations.to_table(columns=columns, filter=pc.field("mode") == "mode")
        returns: dict[int, list[float]] = {}
        about: dict[int, tuple[list[float], int]] = {}
        for row in table.to_pylist():
            returns.setdefault(row["evaluation"], []).append(row["return"])
            about[row["evaluation"]] = (row["fractions"], row["budget_used"])
        return [
            (fraction, float(np.mean(returns[index])), used)
            for index, (fractions, used) in sorted(about.items())
            for fraction in fractions
        ]

    def _table(self, table: str) -> Any:
        if self.result is None:
            return self._committed(table)
        file = self.path / table / TABLE_FILE
        if not file.is_file():
            raise RecordError(f"{file} is missing; restore it from a copy of the run")
        try:
            dataset = pa.dataset.dataset(str(file), format="ipc")
            rows = dataset.count_rows()
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(file, error) from error
        check_table(dataset.schema, table, file)
        if rows != self.result["rows"][table]:
            raise RecordError(
                f"{file} has {rows} rows where {RESULT_FILE} counts {self.result['rows'][table]}; restore it from a "
                "copy of the run"
            )
        return dataset

    def _committed(self, table: str) -> Any:
        """The rows of the phases that are in every table."""
        tables = [t for t in TABLES if t != "trajectories" or self.spec.record == "trajectories"]
        directory = self.path / table
        schema = streams.schema(directory)
        if schema is None:
            raise RecordError(f"{self.path} holds no rows yet; go on with: lagbench resume {self.path}")
        check_table(schema, table, directory)
        count = min(streams.whole_batches(self.path / t) for t in tables)
        return pa.dataset.dataset(pa.Table.from_batches(streams.read(directory, count), schema))

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.status})"

    def _repr_html_(self) -> str:
        protocol = self.spec.protocol
        curve = self.curve()
        rows = {
            "task": self.spec.task,
            "algorithm": self.spec.algorithm.name,
            "lag": f"{protocol.lag} ({protocol.lag_mode})",
            "updates": f"{protocol.updates} ({protocol.forward})",
            "seed": str(self.spec.seed),
            "status": self.status,
            "last evaluation": f"{curve[-1][1]:.1f} at {curve[-1][0]:.0%} of the budget" if curve else "none",
        }
        return run_html(rows, [(fraction, mean) for fraction, mean, _ in curve])


def open_run(path: Path | str) -> Run:
    """The run in a directory. Raises RecordError where there is none, or none that can be read."""
    path = Path(path)
    if not path.is_dir():
        raise RecordError(f"there is no directory {str(path)!r}; give the directory of a run")
    file = path / SPEC_FILE
    if not file.is_file():
        raise RecordError(f"{str(path)!r} is not the directory of a run: it has no {SPEC_FILE}")
    try:
        spec = RunSpec.load(file)
    except (UsageError, OSError) as error:
        raise RecordError(f"{file} cannot be read: {error}") from error
    return Run(path, spec, _result(path / RESULT_FILE))


def find_run(text: str, root: Path = RUNS) -> Path:
    """The directory of the run that ``text`` names: a path, a path below ``root``, or the last part of one.

    Raises RecordError where there is none, with the nearest name, and where there are several.
    """
    for path in (Path(text).expanduser(), root / text):
        if path.is_dir():
            return path
    known = sorted(file.parent for file in root.glob(f"**/{SPEC_FILE}"))
    found = [path for path in known if path.name == text]
    if len(found) == 1:
        return found[0]
    if found:
        raise RecordError(f"{text!r} may be any of {', '.join(map(str, found))}; give the whole path")
    close = difflib.get_close_matches(text, [p.name for p in known], n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "give the directory of a run"
    raise RecordError(f"there is no run {text!r}, neither as a path nor in {root}/; {hint}")


def _result(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        version = result["format_version"]
        complete = {"status", "content_hash", "rows", "summary"} <= result.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(file, error) from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise RecordError(
            f"{file} has format {version}; this lagbench reads up to {FORMAT_VERSION}: install a newer one "
            "(pip install -U lagbench)"
        )
    if not complete:
        raise _unreadable(file, "it is not complete")
    return dict(result)


def _unreadable(file: Path, error: object) -> RecordError:
    reason = " ".join(str(error).split())
    return RecordError(f"{file} cannot be read ({reason}); restore it from a copy of the run")
