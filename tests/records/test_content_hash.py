"""The content hash: the same for the same values, however they are cut; another for any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lagbench.records.content_hash import TIMES, table_hash
from lagbench.records.reader import open_run
from lagbench.records.writer import RunWriter
from tests.records.build import (
    PHASES,
    SIZES,
    TABLES,
    finish,
    make_record,
    make_spec,
    write,
    write_finished,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Mapping[str, Any]]:
    """The recorded hashes and the tables of a finished run."""
    path = tmp_path_factory.mktemp("run") / "run"
    result = write_finished(path, make_spec())
    return result["content_hash"], {name: getattr(open_run(path), name).to_table() for name in TABLES}


def hashed(table: Any, rows: int = 1 << 20) -> str:
    return table_hash(table.schema, table.to_batches(max_chunksize=rows))


@pytest.mark.parametrize("name", TABLES)
def test_batches_do_not_matter(run: Any, name: str) -> None:
    digests, tables = run
    table = tables[name]
    for rows in (1, 2, 3, 7, 1 << 20):
        assert hashed(table, rows) == digests[name]
        # Copies, without the offsets of slices.
        pieces = [table.slice(i, rows).combine_chunks() for i in range(0, len(table), rows)]
        assert table_hash(table.schema, [b for p in pieces for b in p.to_batches()]) == digests[name]
    assert table_hash(table.schema, [*table.to_batches(), *table.slice(0, 0).to_batches()]) == digests[name]


def test_shards_and_resumes_do_not_matter(run: Any, tmp_path: Path) -> None:
    digests, _ = run
    spec, path = make_spec(), tmp_path / "run"
    write(path, spec, []).close()
    for phase in range(PHASES):
        writer = RunWriter.reopen(path, spec, committed=dict.fromkeys(TABLES, phase), **SIZES)
        writer.commit(make_record(phase))
        if phase < PHASES - 1:
            writer.close()
    assert finish(writer)["content_hash"] == digests


def test_nothing_but_the_values_matters(run: Any, tmp_path: Path) -> None:
    """Not the seed, the protocol or the directory, if the rows are the same; nor schema metadata."""
    digests, tables = run
    assert write_finished(tmp_path / "another", make_spec(seed=7))["content_hash"] == digests
    for name in TABLES:
        assert hashed(tables[name].replace_schema_metadata({"a": "b"})) == digests[name]


def changed(value: Any) -> Any:
    """Another value of the same type, as near as there is."""
    if value is None:
        return [1.0]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return 0.0 if np.isnan(value) else float(np.nextafter(np.float32(value), np.float32(9e9)))
    if isinstance(value, str):
        return value + " "
    if isinstance(value, tuple):
        return (value[0], changed(value[1]))
    return [*value[:-1], changed(value[-1])] if value else [("new", 0.0)]


def variants(values: list[Any], kind: Any) -> Iterator[tuple[str, list[Any]]]:
    for i in sorted({0, len(values) // 2, len(values) - 1}):
        yield f"row {i} changed", [*values[:i], changed(values[i]), *values[i + 1 :]]
        if values[i] is not None:
            yield f"row {i} null", [*values[:i], None, *values[i + 1 :]]
        if pa.types.is_list(kind) and values[i]:
            yield f"row {i} shorter", [*values[:i], values[i][:-1], *values[i + 1 :]]
    for i, j in ((0, 1), (0, len(values) - 1)):
        if repr(values[i]) != repr(values[j]):
            swapped = list(values)
            swapped[i], swapped[j] = values[j], values[i]
            yield f"rows {i} and {j} swapped", swapped


@pytest.mark.parametrize("name", TABLES)
def test_any_single_change_shows(run: Any, name: str) -> None:
    digests, tables = run
    table = tables[name]
    for i, field in enumerate(table.schema):
        seen = {digests[name]}
        for what, values in variants(table[field.name].to_pylist(), field.type):
            altered = table.set_column(i, field, [pa.array(values, field.type)])
            digest = hashed(altered, 5)
            if field.name.startswith(TIMES):
                assert digest == digests[name]  # wall time is no row
                continue
            assert digest not in seen, (field.name, what)
            seen.add(digest)


def test_the_cut_between_lists_shows() -> None:
    kind = pa.list_(pa.float64())
    cuts = [[[1.0, 2.0], [3.0]], [[1.0], [2.0, 3.0]], [[1.0, 2.0, 3.0], []], [[1.0, 2.0, 3.0], None]]
    tables = [pa.table({"x": pa.array(values, kind)}) for values in cuts]
    assert len({hashed(t) for t in tables}) == len(cuts)


def test_names_and_types_show_and_the_order_of_columns_does_not() -> None:
    values = np.arange(4)
    tables = [
        pa.table({"a": values, "b": values + 1}),
        pa.table({"b": values, "a": values + 1}),
        pa.table({"a": values, "c": values + 1}),
        pa.table({"a": values.astype(np.int32), "b": values + 1}),
        pa.table({"a": values}),
    ]
    assert len({hashed(t) for t in tables}) == len(tables)
    assert hashed(tables[0].select(["b", "a"])) == hashed(tables[0])


def test_bits_of_numbers_show() -> None:
    assert hashed(pa.table({"x": [0.0]})) != hashed(pa.table({"x": [-0.0]}))
    assert hashed(pa.table({"x": [float("nan")]})) != hashed(pa.table({"x": [float("inf")]}))
