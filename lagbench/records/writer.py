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
    """Writes one run. Created by ``create`` or ``reopen``; a context manager that closes it at the end.

    Each ``commit`` appends one batch to every table, ``phases`` last: a phase counts once all of them are written.
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
        """Begin a run in a directory without one, which is created if missing.

        Args:
            path: the run's directory.
            spec: the run.
            sources: the sources to copy, by subdirectory.
            diagnostics: the names of the diagnostics that every phase may have.
            threads: EnvPool threads, for environment.json.
            sizes: ``TaskSpec.record_sizes``.

        Raises:
            UsageError: the directory contains a run, or other files where a source is to be copied.
            RecordError: another process is writing a run in it, or it cannot be written.
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
                # A partial run would make the next attempt fail.
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
        """Continue an unfinished run in a new shard, after exactly its ``committed`` batches.

        ``committed`` is the result of ``committed()`` at the time of the checkpoint; empty to start from the beginning.
        The other arguments are those of ``create``.

        Raises:
            UsageError: the run is finished, or started with another specification than ``spec``.
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
            # Nothing is changed before all committed batches of every table are known to exist.
            cuts = {table: streams.plan(path / table, count) for table, count in counts.items()}
            for table, cut in cuts.items():
                if not cut and (path / table / TABLE_FILE).exists():
                    # Only a finished run has no shards.
                    raise RecordError(f"{path / RESULT_FILE} is missing; restore it from a copy of the run")
                streams.verify(cut)
            # Before shards are deleted, so that a partial file is never all that is left of a table.
            for directory in (path, *(path / table for table in tables)):
                for file in (*directory.glob("*" + TEMPORARY), directory / TABLE_FILE):
                    if file.is_dir():  # a source, from an earlier attempt
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
        """Append a phase's rows to every table and pass them to the operating system, so that a kill loses none.

        Raises RecordError on failure, and keeps nothing of the phase. After rows that do not fit the schema the writer
        stays open; after a failed write it is closed.
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
        """The number of batches committed to each table, over all shards; saved in checkpoints for ``reopen``."""
        return dict.fromkeys(self._schemas, self._committed)

    def finish(self, status: Status, summary: Mapping[str, Any], policy_state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Finish the run: write the policy, one Arrow file per table, and last result.json, whose content is returned.

        No policy is written if ``policy_state`` is empty. Until result.json is written the run can be reopened; then
        the shards are deleted. Raises RecordError.
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
        """Close the streams and release the lock without finishing the run. Idempotent."""
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
    """Copy a source into a directory atomically; False if the copy already exists.

    Raises UsageError if other files are there, and OSError.
    """
    if there.exists():
        # An identical copy is from an attempt that was killed.
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
        # Left if the process was killed just after it wrote the result.
        with contextlib.suppress(OSError):
            _clear(path, tables)
        raise UsageError(f"{path} is finished: there is nothing to resume; see: lagbench show {path}")


def _merge(directory: Path, schema: Any, committed: int) -> tuple[str, int]:
    """Write a table's shards to one Arrow file; returns its content hash and number of rows."""
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
    """Delete the files that a finished run no longer needs."""
    for table in tables:
        streams.remove(path / table)
    (path / LOCK_FILE).unlink(missing_ok=True)
