"""The writer of a run directory: committed phases stay readable if the process dies."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import safetensors.torch
from torch import Tensor

from lagbench.errors import RecordError, UsageError
from lagbench.records import environment, streams
from lagbench.records.checksums import sealed, sha256
from lagbench.records.content_hash import TableHash
from lagbench.records.encode import encode
from lagbench.records.files import (
    LOCK_FILE,
    POLICY_FILE,
    RESULT_FILE,
    SPEC_FILE,
    TABLE_FILE,
    TEMPORARY,
    Status,
    explained,
    finite,
    locked,
    replacing,
    resume_command,
    sync_directory,
    write_json,
)
from lagbench.records.rows import PhaseRecord
from lagbench.records.schema import FORMAT_VERSION, TABLES, schemas
from lagbench.records.spec_file import check_spec
from lagbench.records.table_file import grouped
from lagbench.source.files import Source
from lagbench.spec import RunSpec


class RunWriter:
    """Writes one run. Made by ``create`` or ``reopen``; a context manager that closes what is open at the end.

    Each ``commit`` appends one batch to every table, ``phases`` last: a phase counts once all of them are there.
    """

    def __init__(self, path: Path, spec: RunSpec, tables: Mapping[str, Any], resources: contextlib.ExitStack) -> None:
        self.path = path
        self._spec = spec
        self._schemas = tables
        self._resources = resources
        self._streams: dict[str, streams.Stream] = {}
        self._committed = 0
        self._open = True

    @classmethod
    def create(
        cls,
        path: Path,
        spec: RunSpec,
        sources: Mapping[str, Source] | None = None,
        *,
        diagnostics: Sequence[str],
        threads: int = 0,
        **sizes: int,
    ) -> Self:
        """Begin a run in a directory that holds none, made where it is missing.

        Args:
            path: the run's directory.
            spec: the run.
            sources: what is to be copied, by the directory for it.
            diagnostics: the names of the diagnostics that every phase may have.
            threads: EnvPool's threads, for environment.json.
            sizes: ``TaskSpec.record_sizes``.

        Raises:
            UsageError: the directory holds a run, or something else where a source is to be copied.
            RecordError: another process is writing one in it, or it cannot be written.
        """
        tables = schemas(spec, diagnostics=diagnostics, **sizes)
        _refuse_a_run(path)
        with explained(path, "try again"), contextlib.ExitStack() as resources:
            path.mkdir(parents=True, exist_ok=True)
            resources.enter_context(locked(path / LOCK_FILE, path))
            _refuse_a_run(path)
            writer = cls(path, spec, tables, resources)
            copied: list[str] = []
            try:
                for name, source in (sources or {}).items():
                    copied += [name] if _copy(source, path / name) else []
                write_json(path / SPEC_FILE, spec.to_json())
                writer._begin(0, dict.fromkeys(tables, 0), threads)
            except BaseException:
                # What was begun would have the next try refused.
                for directory in (*tables, *copied):
                    shutil.rmtree(path / directory, ignore_errors=True)
                for name in (environment.FILE, SPEC_FILE):
                    (path / name).unlink(missing_ok=True)
                raise
            writer._resources = resources.pop_all()
        return writer

    @classmethod
    def reopen(
        cls,
        path: Path,
        spec: RunSpec,
        *,
        committed: Mapping[str, int],
        diagnostics: Sequence[str],
        threads: int = 0,
        **sizes: int,
    ) -> Self:
        """Go on with a run that was not finished, keeping exactly its ``committed`` batches, in a new shard.

        ``committed`` is what ``committed()`` said when the checkpoint was made; empty to begin again from nothing. The
        other arguments are those of ``create``.

        Raises:
            UsageError: the run is finished, or began with another specification than ``spec``.
            RecordError: committed batches are missing or damaged, another process is writing the run, or it cannot be
                written.
        """
        tables = schemas(spec, diagnostics=diagnostics, **sizes)
        if not (path / SPEC_FILE).is_file():
            raise RecordError(f"{path} is not a run directory: it has no {SPEC_FILE}")
        counts = {table: committed.get(table, 0) for table in tables}
        if len(set(counts.values())) != 1 or committed.keys() - tables.keys():
            raise RecordError(f"the checkpoint of {path} does not fit its tables: it counts {dict(committed)}")
        with explained(path, f"resume with: {resume_command(path)}"), contextlib.ExitStack() as resources:
            _refuse_a_finished_run(path, tables)
            resources.enter_context(locked(path / LOCK_FILE, path))
            _refuse_a_finished_run(path, tables)
            check_spec(path, spec.to_json())
            # Nothing is touched before every table is known to hold what was committed.
            cuts = {table: streams.plan(path / table, count) for table, count in counts.items()}
            for table, cut in cuts.items():
                if not cut and (path / table / TABLE_FILE).exists():
                    # A run has no shards once it is finished, and only then.
                    raise RecordError(f"{path / RESULT_FILE} is missing; restore it from a copy of the run")
                streams.verify(cut)
            # Before the shards, some of which may go: a file of the whole table is never all that is left of it.
            for directory in (path, *(path / table for table in tables)):
                for file in (*directory.glob("*" + TEMPORARY), directory / TABLE_FILE):
                    if file.is_dir():  # of a source, from an earlier try
                        shutil.rmtree(file)
                    file.unlink(missing_ok=True)
            numbers = {table: streams.carry_out(path / table, cut) for table, cut in cuts.items()}
            writer = cls(path, spec, tables, resources)
            writer._begin(counts["phases"], numbers, threads)
            writer._resources = resources.pop_all()
        return writer

    def _begin(self, committed: int, numbers: Mapping[str, int], threads: int) -> None:
        for table, schema in self._schemas.items():
            directory = self.path / table
            directory.mkdir(exist_ok=True)
            if numbers[table] and not streams.schema(directory).equals(schema, check_metadata=True):
                raise RecordError(
                    f"{directory} has other columns than this lagbench writes; resume the run with the lagbench "
                    f"version that started it (see {environment.FILE})"
                )
            stream = streams.Stream(directory / streams.shard_name(numbers[table]), schema)
            self._resources.callback(stream.abandon)
            self._streams[table] = stream
        environment.append_entry(self.path, self._spec, threads=threads, phase=committed)
        self._committed = committed

    def commit(self, record: PhaseRecord) -> None:
        """Append a phase's rows to every table and hand them to the operating system: killing this process loses none.

        Raises RecordError where that cannot be done, and nothing of the phase is kept then. After rows that do not fit
        the writer goes on; after a write that failed it is closed.
        """
        self._check_open()
        batches = encode(record, self._schemas)
        before = {table: stream.position for table, stream in self._streams.items()}
        try:
            for table, stream in self._streams.items():
                with explained(stream.file, f"resume with: {resume_command(self.path)}"):
                    stream.append(batches[table])
        except BaseException:
            for table, stream in self._streams.items():
                with contextlib.suppress(OSError):
                    stream.cut(before[table])
            self.close()
            raise
        self._committed += 1

    def committed(self) -> dict[str, int]:
        """Batches committed to each table, over all shards: what a checkpoint keeps for ``reopen``."""
        return dict.fromkeys(self._schemas, self._committed)

    def finish(self, status: Status, summary: Mapping[str, Any], policy_state: Mapping[str, Tensor]) -> dict[str, Any]:
        """End the run: the policy, one Arrow file a table, and last of all result.json, whose content is returned.

        Without a policy where ``policy_state`` is empty. Until result.json stands, the run can be reopened; the shards
        go after it. Raises RecordError.
        """
        self._check_open()
        with self, explained(self.path, f"resume with: {resume_command(self.path)}"):
            for stream in self._streams.values():
                stream.close()
            files = {}
            if policy_state:
                policy = safetensors.torch.save(
                    {k: v.detach().cpu().contiguous().clone() for k, v in policy_state.items()}
                )
                with replacing(self.path / POLICY_FILE) as out:
                    out.write(policy)
                files[POLICY_FILE] = sha256(policy)
            merged = {t: _merge(self.path / t, schema, self._committed) for t, schema in self._schemas.items()}
            result = sealed(
                finite(
                    {
                        "format_version": FORMAT_VERSION,
                        "status": status,
                        "content_hash": {table: digest for table, (digest, _) in merged.items()},
                        "rows": {table: rows for table, (_, rows) in merged.items()},
                        "files": files,
                        "summary": summary,
                    }
                )
            )
            write_json(self.path / RESULT_FILE, result)
            _clear(self.path, self._schemas)
        return result

    def close(self) -> None:
        """End the streams and let go of the lock, without finishing the run. Harmless a second time."""
        if self._open:
            self._open = False
            with self._resources:
                for stream in self._streams.values():
                    with contextlib.suppress(OSError):
                        stream.close()

    def _check_open(self) -> None:
        if not self._open:
            raise RecordError(f"the writer of {self.path} is closed; resume with: {resume_command(self.path)}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _copy(source: Source, there: Path) -> bool:
    """Copy a source into a directory, whole or not at all; False where it is there already.

    Raises UsageError where something else is there, and OSError.
    """
    if there.exists():
        # A try that was killed just then has left it there, or it is no copy.
        if all((there / name).is_file() and (there / name).read_bytes() == x for name, x in source.files.items()):
            return False
        raise UsageError(f"{there}, where a run stores its source, already exists; give another directory with --out")
    scratch = there.with_name(there.name + TEMPORARY)
    shutil.rmtree(scratch, ignore_errors=True)
    for name, content in source.files.items():
        (scratch / name).parent.mkdir(parents=True, exist_ok=True)
        with replacing(scratch / name) as out:
            out.write(content)
    scratch.replace(there)
    sync_directory(there.parent)
    return True


def _refuse_a_run(path: Path) -> None:
    for name in (SPEC_FILE, RESULT_FILE, *TABLES):
        if (path / name).exists():
            then = "" if (path / RESULT_FILE).exists() else f", or resume with: {resume_command(path)}"
            raise UsageError(f"{path} already contains a run ({name}); give another directory with --out{then}")


def _refuse_a_finished_run(path: Path, tables: Iterable[str]) -> None:
    if (path / RESULT_FILE).exists():
        # Left where the process was killed just after it wrote the result.
        with contextlib.suppress(OSError):
            _clear(path, tables)
        raise UsageError(f"{path} is finished: there is nothing to resume; see: lagbench show {path}")


def _merge(directory: Path, schema: Any, committed: int) -> tuple[str, int]:
    """Write a table's shards into one Arrow file; its content hash and number of rows."""
    total = TableHash(schema)
    rows = 0
    with replacing(directory / TABLE_FILE) as out, pa.ipc.new_file(out, schema) as writer:
        for group in grouped(streams.read(directory, committed)):
            for batch in group.combine_chunks().to_batches():
                writer.write_batch(batch)
                total.update(batch)
                rows += batch.num_rows
    return total.hexdigest(), rows


def _clear(path: Path, tables: Iterable[str]) -> None:
    """Delete what a finished run needs no more."""
    for table in tables:
        streams.remove(path / table)
    (path / LOCK_FILE).unlink(missing_ok=True)
