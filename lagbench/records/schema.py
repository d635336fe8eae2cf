"""The schemas of a run's tables, determined by its domain and the sizes of its task."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lagbench.errors import RecordError
from lagbench.records.kind import kind_of
from lagbench.spec import RunSpec

FORMAT_VERSION = 2
TABLES = ("trajectories", "episodes", "evaluations", "phases")
"""In the order in which a commit writes them: a phase counts once its row of ``phases`` is written."""

QUEUED = "queued"
"""In a column of seconds: the time that a transition of an asynchronous run waited in the queue."""
APART = ("waiting", "acting", "blocked", "fetching")
"""Further times of such a phase: the learner's waiting for data, and means over its segments of acting, waiting for
space in the queue, and fetching weights."""

CHECKSUM = "checksum"
LEFT_OUT = "left_out"


def schemas(spec: RunSpec, *, diagnostics: Sequence[str], **sizes: int) -> dict[str, Any]:
    """Table → pyarrow schema of the tables that a run of ``spec`` writes.

    ``diagnostics`` are the harness's columns of ``phases``; ``sizes`` are ``TaskSpec.record_sizes``. There are no
    trajectories if the specification records episodes only.
    """
    columns = kind_of(spec).columns(**sizes)
    if spec.is_asynchronous:
        columns["trajectories"].append((f"seconds_{QUEUED}", pa.float32()))
        columns["phases"] += [(f"seconds_{what}", pa.float64()) for what in APART]
    columns["phases"] += [(name, pa.float64()) for name in diagnostics]
    columns["phases"].append(("metrics", pa.map_(pa.string(), pa.float64())))
    about = {
        "format_version": str(FORMAT_VERSION),
        "task": spec.task,
        "protocol": json.dumps(spec.protocol.to_json(), sort_keys=True),
        "spec": json.dumps(spec.to_json(), sort_keys=True),
    }
    return {table: _signed(pa.schema(columns[table], metadata={**about, "table": table})) for table in tables_of(spec)}


def tables_of(spec: RunSpec) -> list[str]:
    """The tables that a run of ``spec`` has."""
    return [table for table in TABLES if table != "trajectories" or spec.record == "trajectories"]


def without(schema: Any, digests: Mapping[str, bytes]) -> Any:
    """The schema without some columns, whose hashes (see ``content_hash``) are added to its metadata."""
    noted = json.dumps({name: digest.hex() for name, digest in {**left_out(schema), **digests}.items()})
    kept = [field for field in schema if field.name not in digests]
    return _signed(pa.schema(kept, metadata={**_metadata(schema), LEFT_OUT: noted}))


def left_out(schema: Any) -> dict[str, bytes]:
    """The hashes of the columns that a slim copy of a table omits; empty for a complete table."""
    return {name: bytes.fromhex(digest) for name, digest in json.loads(_metadata(schema).get(LEFT_OUT, "{}")).items()}


def type_name(kind: Any) -> str:
    """A column's type as in docs/records.md and the content hash, independent of pyarrow's names of list items."""
    if pa.types.is_map(kind):
        return f"map<{type_name(kind.key_type)}, {type_name(kind.item_type)}>"
    if pa.types.is_fixed_size_list(kind):
        return f"fixed_size_list<{type_name(kind.value_type)}>[{kind.list_size}]"
    if pa.types.is_list(kind):
        return f"list<{type_name(kind.value_type)}>"
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind))


def check_table(schema: Any, table: str, file: Path) -> None:
    """Raise RecordError unless ``schema``, of ``file``, is that table's, undamaged and of a supported format."""
    metadata = _metadata(schema)
    version = metadata.get("format_version", "")
    if metadata.get("table") != table or not version.isdecimal():
        raise RecordError(f"{file} is not the table {table!r} of a lagbench run; restore it from a copy of the run")
    if int(version) > FORMAT_VERSION:
        raise RecordError(
            f"{file} has format {version}; this lagbench reads up to {FORMAT_VERSION}: install a newer one "
            "(pip install -U lagbench)"
        )
    if metadata.get(CHECKSUM) != _checksum(schema):
        raise RecordError(
            f"{file} has changed columns: their checksum does not match; restore it from a copy of the run"
        )


def recorded_spec(schema: Any) -> Any:
    """The specification of the table's run as JSON, from the schema's metadata."""
    return json.loads(_metadata(schema)["spec"])


def _metadata(schema: Any) -> dict[str, str]:
    return {k.decode(errors="replace"): v.decode(errors="replace") for k, v in (schema.metadata or {}).items()}


def _signed(schema: Any) -> Any:
    return schema.with_metadata({**_metadata(schema), CHECKSUM: _checksum(schema)})


def _checksum(schema: Any) -> str:
    """SHA-256 of the columns' names and types and of the rest of the metadata."""
    about = [f"{key} {value}" for key, value in sorted(_metadata(schema).items()) if key != CHECKSUM]
    columns = [f"{field.name} {type_name(field.type)}" for field in schema]
    return hashlib.sha256("\n".join([*about, *columns]).encode()).hexdigest()
