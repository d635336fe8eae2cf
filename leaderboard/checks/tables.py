"""The tables of a run: Arrow that may be opened, with exactly the columns that its specification gives them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from lagbench import LagbenchError, RunSpec, records, shapes
from lagbench.leaderboard import arrow_guard, layout, limits, strict_json
from lagbench.leaderboard.checks import columns
from lagbench.leaderboard.findings import Problem
from lagbench.leaderboard.manifest import is_sha256
from lagbench.leaderboard.text import line_fault, shown

CHECK = "tables"
_LEFT_OUT, _CHECKSUM = b"left_out", b"checksum"


def check(
    file: Path, path: str, table: str, spec: RunSpec, rows: int | None, found: dict[str, Any]
) -> Iterator[Problem]:
    """What is wrong with a table's file; where nothing is, it is in ``found`` afterwards, in memory.

    Args:
        file: the file.
        path: as from the submission's directory.
        table: its name: ``final``, or as in the records.
        spec: of its run.
        rows: by the manifest.
        found: tables by name.
    """
    faulty = False
    for row, fault in _faults(file, table, spec, rows, found):
        faulty = True
        yield Problem(CHECK, path, row, fault)
    if faulty:
        found.pop(table, None)


def _faults(
    file: Path, table: str, spec: RunSpec, rows: int | None, found: dict[str, Any]
) -> Iterator[tuple[int | None, str]]:
    try:
        declared = arrow_guard.declared(file)
    except arrow_guard.GuardError as error:
        yield None, str(error)
        return
    if rows is not None and declared.rows != rows:
        yield None, f"it has {declared.rows:,} rows, by the manifest {rows:,}"
    if declared.rows > (most := _most_rows(table, spec)):
        yield None, f"it has {declared.rows:,} rows, and the specification plans {most:,} at most"
        return
    try:
        with file.open("rb") as source:
            schema = pa.ipc.open_file(source).schema
        faults = list(_schema_faults(schema, table, spec))
        yield from ((None, fault) for fault in faults)
        if faults:
            return
        found[table] = pa.Table.from_batches(records.table_file.batches(file, table), schema)
    except (LagbenchError, pa.ArrowException, ValueError, TypeError, OSError) as error:
        yield None, f"Arrow cannot read it: {shown(' '.join(str(error).split()).replace(str(file), 'it'))}"
        return
    yield from _value_faults(found[table], table, spec)


def _most_rows(table: str, spec: RunSpec) -> int:
    modes = [spec.evaluation.modes(last=phases == spec.phases) for phases in spec.evaluation_phases()]
    planned = {
        "phases": spec.phases,
        "evaluations": sum(sum(episodes.values()) for episodes in modes),
        records.final.TABLE: spec.evaluation.episodes,
    }
    return planned.get(table, 0)


def _schema_faults(schema: Any, table: str, spec: RunSpec) -> Iterator[str]:
    kind = records.kind.kind_of(spec)
    if table == records.final.TABLE:
        wanted, left_out = records.final.schema(shapes.tables(spec)["evaluations"], kind), None
    else:
        whole = shapes.tables(spec)[table]
        left_out = records.slim.left_out_columns(whole, table, spec, bare=table not in layout.KEPT)
        wanted = records.schema.without(whole, {name: bytes(32) for name in left_out})
    for name in wanted.names:
        if schema.names.count(name) != 1:
            yield f"the column {name} is {'there more than once' if name in schema.names else 'missing'}"
    for name in schema.names:
        if name not in wanted.names:
            yield f"the column {shown(name)!r} is none of the table's"
    if sorted(schema.names) == sorted(wanted.names):
        if schema.names != wanted.names:
            yield "its columns are not in the order of docs/records.md"
        for field in wanted:
            if not schema.field(field.name).equals(field, check_metadata=True):
                yield f"the column {field.name} is {_kind(schema.field(field.name))}, and must be {_kind(field)}"
    yield from _metadata_faults(schema.metadata or {}, wanted.metadata, left_out)


def _kind(field: Any) -> str:
    text = records.schema.type_name(field.type)
    return shown(text + ("" if field.nullable else " not null") + (" with metadata" if field.metadata else ""))


def _metadata_faults(own: Any, wanted: Any, left_out: list[str] | None) -> Iterator[str]:
    for key in sorted(own.keys() ^ wanted.keys()):
        yield f"its metadata {'has' if key in own else 'lacks'} {shown(key.decode(errors='replace'))!r}"
    # The rest follows from the specification; what was left out is hashed there, and the checksum is Arrow's reader's.
    for key in sorted((own.keys() & wanted.keys()) - {_LEFT_OUT, _CHECKSUM}):
        if own[key] != wanted[key]:
            yield f"its metadata's {key.decode()} is not that of spec.json"
    if left_out is not None and _LEFT_OUT in own:
        try:
            hashes = strict_json.parse(own[_LEFT_OUT], "left_out")
        except strict_json.JsonError as error:
            yield f"its metadata: {error}"
            return
        if not (isinstance(hashes, dict) and hashes.keys() == set(left_out) and all(map(is_sha256, hashes.values()))):
            yield f"its metadata's left_out must have a hash of each of {', '.join(left_out) or 'no column'}"


def _value_faults(table: Any, name: str, spec: RunSpec) -> Iterator[tuple[int | None, str]]:
    nullable = set(records.kind.kind_of(spec).nullable_columns())
    for field in table.schema:
        # When a measurement of a phase may be null is another check's.
        if field.name in nullable or (name == "phases" and pa.types.is_floating(field.type)):
            continue
        for row in columns.null_rows(table, field.name):
            yield row, f"{field.name} has a null"
    if "fractions" in table.schema.names:
        yield from _length_faults(table, "fractions", 1, spec.evaluation.intervals + 1)
    if "versions" in table.schema.names:
        yield from _length_faults(table, "versions", spec.protocol.actors, spec.protocol.actors)
    if "metrics" in table.schema.names:
        yield from _length_faults(table, "metrics", 0, limits.METRICS)
        for array, rows in columns.levels(table, "metrics"):
            if pa.types.is_string(array.type):
                yield from _name_faults(array, rows)


def _length_faults(table: Any, name: str, least: int, most: int) -> Iterator[tuple[int | None, str]]:
    for row, length in enumerate(columns.lengths(table, name).tolist()):
        if not least <= length <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            yield row, f"{name} has {length} elements, and has {wanted}"


def _name_faults(names: Any, rows: columns.Rows) -> Iterator[tuple[int | None, str]]:
    encoded = names.dictionary_encode()
    faults = [line_fault(name, limits.NAME_LENGTH) for name in encoded.dictionary.to_pylist()]
    if any(faults):
        for row, index in zip(rows.tolist(), encoded.indices.to_pylist(), strict=True):
            if index is not None and faults[index]:
                yield row, f"the name of a metric {faults[index]}"
