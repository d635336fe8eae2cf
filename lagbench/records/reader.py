"""A run on disk, finished or not: ``open_run(path)``."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
from numpy.typing import NDArray

from lagbench.domain import ActionMode
from lagbench.errors import RecordError, UsageError
from lagbench.lag import staleness
from lagbench.records import envelope, environment, streams, table_file
from lagbench.records.checksums import is_whole, sha256
from lagbench.records.content_hash import table_hash
from lagbench.records.curve import COLUMNS, CurvePoint, curve
from lagbench.records.display import run_html
from lagbench.records.files import CHECKPOINT_FILE, POLICY_FILE, RESULT_FILE, SPEC_FILE, TABLE_FILE
from lagbench.records.kind import kind_of
from lagbench.records.schema import FORMAT_VERSION, check_table, left_out, recorded_spec, tables_of
from lagbench.records.spec_file import read_spec
from lagbench.records.table_file import unreadable
from lagbench.registry import load
from lagbench.settings import own_settings
from lagbench.spec import RunSpec, differences

if TYPE_CHECKING:
    from torch import Tensor

    from lagbench.policies.base import Policy

RUNS = Path("runs")


class Run:
    """One run, read-only. For an unfinished run, the phases committed when a table was first accessed.

    Attributes:
        path: its directory.
        spec: its specification.
        result: the content of result.json; None for an unfinished run.
    """

    def __init__(self, path: Path, spec: RunSpec, result: dict[str, Any] | None) -> None:
        self.path = path
        self.spec = spec
        self.result = result

    @property
    def status(self) -> str:
        """``completed``, ``diverged`` or ``failed``; ``unfinished`` if it is running or was interrupted."""
        return "unfinished" if self.result is None else str(self.result["status"])

    @property
    def summary(self) -> dict[str, Any]:
        """The run's summary; empty for an unfinished run."""
        return {} if self.result is None else dict(self.result["summary"])

    @functools.cached_property
    def trajectories(self) -> Any:
        """Every valid transition, as a pyarrow dataset. Raises RecordError if the run recorded only episodes."""
        if self.spec.record != "trajectories":
            raise RecordError(f"{self.path} has no trajectories: it was run with --record episodes")
        self.check_steps("trajectories")
        return self._table("trajectories")

    @functools.cached_property
    def episodes(self) -> Any:
        """The finished training episodes, as a pyarrow dataset."""
        return self._table("episodes")

    @functools.cached_property
    def evaluations(self) -> Any:
        """The evaluation episodes, as a pyarrow dataset."""
        return self._table("evaluations")

    @functools.cached_property
    def phases(self) -> Any:
        """One row per phase, as a pyarrow dataset."""
        return self._table("phases")

    @functools.cached_property
    def environment(self) -> list[dict[str, Any]]:
        """The entries of environment.json, one per start or resume. Raises RecordError."""
        return environment.read_entries(self.path / environment.FILE)

    def schema(self, table: str) -> Any:
        """A table's pyarrow schema, verified to belong to this table and run. Raises RecordError."""
        if self.result is not None:
            file = self.path / table / TABLE_FILE
            return self._own(table_file.schema(file, table), file)
        self._committed  # noqa: B018 - raises if only some tables exist
        schema = streams.schema(self.path / table)
        if schema is None:
            self._check_unfinished()
            if (self.path / table / TABLE_FILE).exists():
                # Only a finished run has no shards.
                raise RecordError(f"{self.path / RESULT_FILE} is missing; restore it from a copy of the run")
            raise RecordError(f"{self.path} has no rows yet; resume with: lagbench resume {self.path}")
        check_table(schema, table, self.path / table)
        return self._own(schema, self.path / table)

    def check_steps(self, table: str) -> None:
        """Raise RecordError if this is a slim copy, whose table lacks the columns of single steps."""
        if left_out(self.schema(table)):
            raise RecordError(f"{self.path} is a slim copy, without single steps; use the original run")

    def read(self, table: str) -> Iterator[Any]:
        """The record batches of a table in order, few in memory at a time. Raises RecordError if one is damaged."""
        if self.result is None:
            return streams.read(self.path / table, self._committed)
        return table_file.batches(self.path / table / TABLE_FILE, table)

    def training_episodes(self) -> Iterator[Any]:
        """The training episodes with their transitions: finished ones ordered by end, then the others.

        On control ``TrainingEpisode``, on language ``Completion``. Memory holds one batch of the table and unfinished
        episodes. Raises RecordError if the run recorded only summaries.
        """
        self.trajectories  # noqa: B018 - checked here, not on the first iteration
        return kind_of(self.spec).training_episodes(self.read("trajectories"), self.spec, self.path / "trajectories")

    def evaluation_episodes(self) -> Iterator[Any]:
        """The evaluation episodes, by evaluation and then by episode.

        On control ``EvaluationEpisode``, on language ``EvaluatedCompletion``.
        """
        self.evaluations  # noqa: B018 - checked here, not on the first iteration
        self.check_steps("evaluations")
        return kind_of(self.spec).evaluation_episodes(self.read("evaluations"))

    def batches(self, columns: Sequence[str], batch_size: int) -> Iterator[dict[str, Tensor]]:
        """Transitions in order as torch tensors by column, [n] or [n, size]; n = ``batch_size``, the last may be less.

        The tensors are memory-mapped, and only accessed parts are read; booleans, which Arrow packs, and batches that
        span two of the file's batches are copied. Writes to a tensor stay in this process. Raises UsageError for a
        column that cannot be a tensor.
        """
        from lagbench.records import tensors

        schema = self.trajectories.schema
        return tensors.batches(self.read("trajectories"), schema, columns, batch_size)

    def content_hash(self) -> dict[str, str]:
        """The content hash of each table, computed from its current values; result.json has the recorded ones."""
        self._check_tables()
        return {table: table_hash(self.schema(table), self.read(table)) for table in tables_of(self.spec)}

    def _check_tables(self) -> None:
        """Raise RecordError unless every complete table has its structure and number of rows."""
        for table in tables_of(self.spec):
            if not left_out(self.schema(table)):
                getattr(self, table)

    def check_hashes(self, tables: Sequence[str]) -> None:
        """Raise RecordError unless tables of a finished run have the recorded values."""
        assert self.result is not None
        for table in tables:
            if table_hash(self.schema(table), self.read(table)) != self.result["content_hash"][table]:
                raise RecordError(
                    f"{self.path / table / TABLE_FILE} contains changed values: its content hash is not the one in "
                    f"{RESULT_FILE}; restore it from a copy of the run"
                )

    def verify(self) -> None:
        """Raise RecordError unless all values are as recorded; for an unfinished run, all committed values."""
        self.environment  # noqa: B018 - checked on access
        self._check_tables()
        if self.result is None:
            return
        self.check_hashes(tables_of(self.spec))
        if POLICY_FILE in self.result["files"]:
            self._policy_file()

    @own_settings()
    def policy(self) -> Policy:
        """The policy after the last phase. Raises RecordError if there is none or the file is damaged."""
        file = self.path / POLICY_FILE
        if self.result is None:
            raise RecordError(f"{self.path} has no policy yet: it is not finished; see: lagbench resume {self.path}")
        if POLICY_FILE not in self.result["files"]:
            raise RecordError(f"{self.path} has no policy: the run {self.status}; see: lagbench show {self.path}")
        import safetensors.torch

        try:
            state = safetensors.torch.load(self._policy_file())
            if self.spec.policy is not None:
                own: Policy = self.spec.network()
                own.load_state_dict(state)
                return own
            policy: Policy = load(self.spec.domain.policy)(self.spec.task, self.spec.task_options, state)
            return policy
        except (KeyError, RuntimeError, safetensors.SafetensorError) as error:
            raise unreadable(file, error) from error

    def curve(self, mode: ActionMode | None = None) -> list[CurvePoint]:
        """The evaluations with this ``mode``, in order; None: the scored ones.

        An evaluation that represents several fractions of the budget gives a point for each.
        """
        chosen = pc.field("mode") == (mode or self.spec.evaluation.measure)
        return curve(self.evaluations.to_table(columns=list(COLUMNS), filter=chosen).to_pylist())

    def _table(self, table: str) -> Any:
        if self.result is None:
            schema = self.schema(table)
            return pa.dataset.dataset(pa.Table.from_batches(self.read(table), schema))
        file = self.path / table / TABLE_FILE
        if not file.is_file():
            raise RecordError(f"{file} is missing; restore it from a copy of the run")
        self.schema(table)
        return table_file.dataset(file, table, self.result["rows"][table])

    def _own(self, schema: Any, file: Path) -> Any:
        if changed := differences(recorded_spec(schema), self.spec.to_json()):
            raise RecordError(
                f"{file} belongs to another run ({'; '.join(changed)}); restore it from a copy of this one"
            )
        return schema

    @functools.cached_property
    def _committed(self) -> int:
        """The number of phases that every table of an unfinished run contains."""
        promised = self._promised()
        before: dict[str, int] = {}
        while True:
            # In reverse order of writing: a phase counted in one table is then also in those written before.
            counts = {table: streams.whole_batches(self.path / table) for table in reversed(tables_of(self.spec))}
            few, many = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
            if counts[few] >= promised and (counts[many] - counts[few] <= 1 or before.items() - counts.items()):
                return counts[few]
            # Unequal counts may be due to a commit in between: they are an error only if they no longer change.
            if counts == before:
                break
            before = counts
        self._check_unfinished()
        at_least = max(promised, counts[many] - 1)
        place = (streams.shards(self.path / few) or [self.path / few])[-1]
        raise RecordError(
            f"{place} is truncated: of the {at_least} committed phases the table contains only {counts[few]}; "
            "restore it from a copy of the run"
        )

    def _check_unfinished(self) -> None:
        if (self.path / RESULT_FILE).exists():
            raise RecordError(f"{self.path} was finished after it was opened; open it again")

    def _promised(self) -> int:
        """The number of phases in the checkpoint, 0 if there is no readable one."""
        try:
            committed = envelope.about(self.path / CHECKPOINT_FILE)["committed"]
        except (OSError, RecordError):
            return 0
        return int(committed["phases"])

    def _policy_file(self) -> bytes:
        """The bytes of a finished run's policy file. Raises RecordError if its checksum does not match."""
        assert self.result is not None
        file = self.path / POLICY_FILE
        try:
            content = file.read_bytes()
        except OSError as error:
            raise unreadable(file, error) from error
        if sha256(content) != self.result["files"][POLICY_FILE]:
            raise unreadable(file, f"its SHA-256 is not the one in {RESULT_FILE}")
        return content

    def _last(self, mode: ActionMode) -> str:
        points = self.curve(mode)
        if not points:
            return "not evaluated"
        return f"{points[-1].text(self.spec.domain.return_format)} at {points[-1].fraction:.0%} of the budget"

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.status})"

    def _repr_html_(self) -> str:
        protocol, points = self.spec.protocol, self.curve()
        rows = {
            "task": self.spec.task,
            "algorithm": self.spec.algorithm.name,
            "lag": f"{protocol.lag} ({protocol.lag_mode})",
            "updates": f"{protocol.updates} ({protocol.forward})",
            "seed": str(self.spec.seed),
            "status": self.status,
            **{f"last evaluation, {words}": self._last(mode) for mode, words in self.spec.domain.modes.items()},
        }
        return run_html(rows, [(point.fraction, point.mean) for point in points])


def open_run(path: Path | str, *, verify: bool = False) -> Run:
    """Open the run in a directory; its tables are opened on first access. Their structure is always verified.

    Args:
        path: the run's directory.
        verify: read everything now, and verify the run's content hashes and checksums.

    Returns:
        The run, finished or not.

    Raises:
        RecordError: there is no readable run.
        UsageError: its spec.json was edited.
    """
    path = Path(path)
    if not path.is_dir():
        raise RecordError(f"there is no directory {str(path)!r}; give the directory of a run")
    if not (path / SPEC_FILE).is_file():
        raise RecordError(f"{str(path)!r} is not the directory of a run: it has no {SPEC_FILE}")
    run = Run(path, read_spec(path), _result(path / RESULT_FILE))
    if verify:
        run.verify()
    return run


def find_run(text: str, root: Path = RUNS) -> Path:
    """The directory of the run that ``text`` names: a path, a path below ``root``, or the last part of one.

    Raises RecordError if there is none, with the nearest name, or if there are several.
    """
    for path in (Path(text).expanduser(), root / text):
        if path.is_dir():
            return path
    known = sorted(file.parent for file in root.glob(f"**/{SPEC_FILE}"))
    found = [path for path in known if path.name == text]
    if len(found) == 1:
        return found[0]
    if found:
        raise RecordError(f"{text!r} is ambiguous: {', '.join(map(str, found))}; give the whole path")
    close = difflib.get_close_matches(text, [p.name for p in known], n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "give the directory of a run"
    raise RecordError(f"there is no run {text!r}, neither as a path nor below {root}/; {hint}")


def versions_of_run(text: str) -> NDArray[np.int64]:
    """The versions [phases, actors] that the actors held in the finished run that ``text`` names.

    Raises UsageError if it is not finished, and as ``find_run`` and ``open_run``.
    """
    run = open_run(find_run(text))
    if run.result is None:
        raise UsageError(f"{run.path} is not finished; resume with: lagbench resume {run.path}")
    if staleness.mode(run.spec.protocol, run.spec.seed).in_flight:
        raise UsageError(
            f"the versions of {run.path} change inside completions, and a trace has one per phase and actor; give the "
            "run's own lag mode and seed"
        )
    rows = run.phases.to_table(columns=["versions"])["versions"].to_pylist()
    if not rows:
        raise UsageError(f"{run.path} has no phase")
    return np.array(rows, dtype=np.int64)


def _result(file: Path) -> dict[str, Any] | None:
    if not file.exists():
        return None
    try:
        result = json.loads(file.read_text(encoding="utf-8"))
        version = result["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise unreadable(file, error) from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise RecordError(
            f"{file} has format {version}; this lagbench reads up to {FORMAT_VERSION}: install a newer one "
            "(pip install -U lagbench)"
        )
    if not is_whole(result):
        raise unreadable(file, "its checksum does not match")
    return dict(result)
