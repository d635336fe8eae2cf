"""Encode a phase's rows as Arrow record batches, sharing memory with NumPy arrays where possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lagbench.actors.base import EndedEpisode, Transitions
from lagbench.errors import RecordError
from lagbench.records.rows import EvaluationRecord, PhaseRecord

_PER_STEP = ("action", "reward", "observation", "token")
"""Columns of ``evaluations`` with one list element per step of the episode."""


def encode(record: PhaseRecord, schemas: Mapping[str, Any]) -> dict[str, Any]:
    """One batch per table; None if the phase adds no row. Raises RecordError for rows that do not fit the schema."""
    build = {
        "trajectories": lambda schema: _trajectories(record.transitions, schema),
        "episodes": lambda schema: _episodes(record.episodes, schema),
        "evaluations": lambda schema: _evaluations(record.evaluations, schema, "trajectories" in schemas),
        "phases": lambda schema: _phase(record, schema),
    }
    try:
        return {table: build[table](schema) for table, schema in schemas.items()}
    except (KeyError, TypeError, ValueError, pa.ArrowException) as error:
        raise RecordError(f"the rows of phase {record.phase} do not fit their tables: {error!r}") from error


def _trajectories(transitions: Transitions, schema: Any) -> Any:
    columns = transitions.columns
    unknown = columns.keys() ^ (set(schema.names) - {"final_observation"})
    if unknown:
        raise ValueError(f"columns {sorted(unknown)} are missing or unknown")
    rows = len(next(iter(columns.values())))
    if not rows:
        return None
    arrays = [
        _final_observation(transitions, rows, field.type)
        if field.name == "final_observation"
        else _column(columns[field.name], field.type)
        for field in schema
    ]
    return _batch(arrays, schema)


def _final_observation(transitions: Transitions, rows: int, kind: Any) -> Any:
    ends, values = transitions.ends, transitions.final_observation
    if len(values) != len(ends) or (np.diff(ends) <= 0).any():
        raise ValueError("final_observation does not have one row for each of `ends`, in ascending order")
    if not len(ends):
        return pa.nulls(rows, kind)
    null = np.ones(rows, dtype=np.bool_)
    null[ends] = False
    lengths = np.zeros(rows, dtype=np.int32)
    lengths[ends] = values.shape[1]
    return pa.ListArray.from_arrays(_offsets(lengths), _flat(values, kind.value_type), type=kind, mask=pa.array(null))


def _episodes(episodes: Sequence[EndedEpisode], schema: Any) -> Any:
    if not episodes:
        return None
    attribute = {"return": "episode_return"}
    columns = zip(*map(attrgetter(*[attribute.get(name, name) for name in schema.names]), episodes), strict=True)
    return _batch([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def _evaluations(evaluations: Sequence[EvaluationRecord], schema: Any, observations: bool) -> Any:
    rows = [(record, j, episode) for record in evaluations for j, episode in enumerate(record.episodes)]
    if not rows:
        return None
    lengths = np.array([episode.length for _, _, episode in rows], dtype=np.int32)
    plain = {
        "evaluation": [r.index for r, _, _ in rows],
        "fractions": [list(r.fractions) for r, _, _ in rows],
        "version": [r.version for r, _, _ in rows],
        "budget_used": [r.budget_used for r, _, _ in rows],
        "mode": [r.mode for r, _, _ in rows],
        "episode": [j for _, j, _ in rows],
        "seed": [e.seed for _, _, e in rows],
        "return": [e.episode_return for _, _, e in rows],
        "length": lengths,
        "terminated": [e.terminated for _, _, e in rows],
        "truncated": [e.truncated for _, _, e in rows],
    }
    arrays = []
    for field in schema:
        if field.name in plain:
            arrays.append(pa.array(plain[field.name], field.type))
        elif field.name == "observation" and not observations:
            arrays.append(pa.nulls(len(rows), field.type))
        elif pa.types.is_list(field.type) and field.name in _PER_STEP:
            arrays.append(_lists([getattr(e, field.name) for _, _, e in rows], lengths, field.type))
        else:
            arrays.append(_column([getattr(e, field.name) for _, _, e in rows], field.type))
    return _batch(arrays, schema)


def _phase(record: PhaseRecord, schema: Any) -> Any:
    plain: dict[str, Any] = {
        "phase": record.phase,
        "budget_used": record.budget_used,
        "versions": record.versions.tolist(),
        "version_sha256": record.version_sha256,
        "updates": record.updates_made,
        **{f"seconds_{what}": value for what, value in record.seconds.items()},
        "metrics": sorted(record.metrics.items()),
    }
    unknown = record.diagnostics.keys() - (set(schema.names) - plain.keys())
    if unknown:
        raise ValueError(f"diagnostics {sorted(unknown)} have no column")
    # Null: not measured, for example if the phase's updates diverged.
    row = {**dict.fromkeys(schema.names), **record.diagnostics, **plain}
    batch = pa.RecordBatch.from_struct_array(pa.array([row], pa.struct(list(schema))))
    return batch.replace_schema_metadata(schema.metadata)


def _batch(arrays: list[Any], schema: Any) -> Any:
    if len({len(a) for a in arrays}) != 1:
        raise ValueError(f"columns differ in length: { {f.name: len(a) for f, a in zip(schema, arrays, strict=True)} }")
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _column(values: Any, kind: Any) -> Any:
    """A column from an array [n], or [n, size] for a fixed-size list, or a sequence of texts, numbers or arrays."""
    if not isinstance(values, np.ndarray):
        if pa.types.is_list(kind):
            return _lists(values, np.array([len(part) for part in values], dtype=np.int32), kind)
        return pa.array(values, kind)
    if not pa.types.is_fixed_size_list(kind):
        return _flat(values, kind)
    if values.ndim != 2 or values.shape[1] != kind.list_size:
        raise ValueError(f"an array {values.shape} is no column of lists of {kind.list_size}")
    return pa.FixedSizeListArray.from_arrays(_flat(values, kind.value_type), type=kind)


def _flat(values: NDArray[Any], kind: Any) -> Any:
    array = pa.array(np.ascontiguousarray(values).ravel())
    if array.type == kind:
        return array
    if not np.can_cast(values.dtype, kind.to_pandas_dtype(), "same_kind"):
        raise TypeError(f"numbers of type {values.dtype} in a column of {kind}")
    # Arrow's cast, unlike NumPy's, raises for numbers that the column cannot hold.
    return array.cast(kind)


def _lists(parts: Sequence[NDArray[Any]], lengths: NDArray[np.int32], kind: Any) -> Any:
    """A column of lists: row i contains ``parts[i]``."""
    if any(len(p) != n for p, n in zip(parts, lengths, strict=True)):
        raise ValueError("an episode's columns differ in length")
    return pa.ListArray.from_arrays(_offsets(lengths), _column(np.concatenate(parts), kind.value_type), type=kind)


def _offsets(lengths: NDArray[np.int32]) -> Any:
    return pa.array(np.concatenate([np.zeros(1, dtype=np.int32), np.cumsum(lengths, dtype=np.int32)]))
