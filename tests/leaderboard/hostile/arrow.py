"""Attacks by how a table is written: what a reader of Arrow might stumble over, or be filled up by."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from lagbench.leaderboard import limits
from tests.leaderboard.hostile import flat
from tests.leaderboard.hostile.attack import HTML, PLACE, Attack, Change, edit, rewrite, sign

FINAL = f"{PLACE}/final.arrow"
PHASES = f"{PLACE}/phases/data.arrow"
EVALUATIONS = f"{PLACE}/evaluations/data.arrow"


def _rewritten(change: Callable[[Any], Any], file: str = PHASES, **options: Any) -> Change:
    """A table written anew from what ``change`` makes of it, its metadata signed again."""
    return lambda path: rewrite(path / file, lambda t: sign(change(t)), **options)


def _patched(change: Callable[[flat.File], object], file: str = FINAL) -> Attack:
    """A table's metadata written over."""
    return Attack("tables", edit(file, flat.patched(change)))


def _bent(column: str, at: int, value: int) -> Attack:
    """An offset of a column of lists, or of text, that leads elsewhere: where Arrow would read what is not its own."""

    def change(path: Path) -> None:
        file = path / FINAL
        rewrite(file, lambda t: t)
        t = pa.ipc.open_file(file.read_bytes()).read_all()
        offsets = t[column].chunk(0).buffers()[1].to_pybytes()
        content = file.read_bytes()
        assert content.count(offsets) >= 1
        bent = offsets[: 4 * at] + struct.pack("<i", value) + offsets[4 * at + 4 :]
        file.write_bytes(content.replace(offsets, bent))

    return Attack("tables", change)


def _column(make: Callable[[int], Any], name: str = "tv") -> Attack:
    """A column of another kind in the place of one."""

    def change(t: Any) -> Any:
        at = t.column_names.index(name)
        return t.set_column(at, name, make(len(t))).replace_schema_metadata(t.schema.metadata)

    return Attack("tables", _rewritten(change))


def _bomb(codec: str) -> Attack:
    """A column whose numbers are a gigabyte, and a few kilobytes as they lie there."""

    def change(t: Any) -> Any:
        values = pa.array(np.zeros(1 << 28, np.float32))
        counts = pa.array([0, *[len(values)] * len(t)], pa.int32())
        at = t.column_names.index("reward")
        return t.set_column(at, "reward", pa.ListArray.from_arrays(counts, values)).replace_schema_metadata(
            t.schema.metadata
        )

    return Attack("tables", _rewritten(change, FINAL, compression=codec))


def _batches(count: int) -> Change:
    """A table cut into batches, of which all but the first have no row."""

    def attack(path: Path) -> None:
        file = path / PHASES
        t = pa.ipc.open_file(file.read_bytes()).read_all().combine_chunks()
        (whole,) = t.to_batches()
        file.unlink()
        with pa.ipc.new_file(str(file), t.schema) as writer:
            writer.write_batch(whole)
            for _ in range(count):
                writer.write_batch(whole.slice(0, 0))

    return attack


def _no_text(path: Path) -> None:
    """A column of text whose bytes are none."""
    rewrite(path / FINAL, lambda t: t)
    content = (path / FINAL).read_bytes()
    assert b"stochastic" * 2 in content
    (path / FINAL).write_bytes(content.replace(b"stochastic" * 2, b"\xff\xfe\xc3\x28" * 5))


def _as(write: Callable[[Any, Any], Any]) -> Attack:
    """A table in another format."""

    def attack(path: Path) -> None:
        sink = io.BytesIO()
        write(pa.ipc.open_file((path / PHASES).read_bytes()).read_all(), sink)
        (path / PHASES).write_bytes(sink.getvalue())

    return Attack("tables", attack)


def _stream(t: Any, sink: Any) -> None:
    with pa.ipc.new_stream(sink, t.schema) as writer:
        writer.write_table(t)


def _wide(t: Any) -> Any:
    names = [*t.column_names, *(f"c{i}" for i in range(20_000))]
    nothing = pa.nulls(len(t), pa.float64())
    return pa.table([*t.columns, *[nothing] * 20_000], names=names).replace_schema_metadata(t.schema.metadata)


def _deep(count: int) -> Any:
    """Lists within lists within lists."""
    kind: Any = pa.float64()
    for _ in range(60):
        kind = pa.list_(kind)
    return pa.nulls(count, kind)


def _noted(**metadata: str) -> Callable[[Any], Any]:
    return lambda t: sign(t, metadata)


def _field(metadata: dict[str, str]) -> Callable[[Any], Any]:
    """Metadata of a column."""

    def change(t: Any) -> Any:
        at = t.column_names.index("tv")
        return t.cast(t.schema.set(at, t.schema.field("tv").with_metadata(metadata)))

    return change


def _union(count: int) -> Any:
    kinds = pa.array([0] * count, pa.int8())
    return pa.UnionArray.from_sparse(kinds, [pa.array(np.zeros(count)), pa.array([""] * count)])


ATTACKS: dict[str, Attack] = {
    # What would be gigabytes.
    "a gigabyte of nothing by zstd": _bomb("zstd"),
    "a gigabyte of nothing by lz4": _bomb("lz4"),
    "buffers that say they are an exabyte": _patched(flat.inflated(1 << 60)),
    "buffers that say they are less than nothing": _patched(flat.inflated(-2)),
    "buffers that are more than they say": _patched(flat.inflated(1)),
    "buffers that are less than they say": _patched(flat.inflated(1 << 20)),
    "buffers that say they are not compressed": _patched(flat.inflated(-1)),
    "a quintillion of rows": _patched(flat.rows(1 << 60)),
    "two billion rows": _patched(flat.rows((1 << 31) - 1)),
    "less than no rows": _patched(flat.rows(-1)),
    "fewer rows than values": _patched(flat.length(1)),
    "more rows than values": _patched(flat.length(3)),
    "columns of a million values": _patched(flat.nodes(1 << 20, 0)),
    "more nulls than values": _patched(flat.nodes(2, 1 << 40)),
    "nulls less than none": _patched(flat.nodes(2, -7)),
    "nulls that are nowhere": _patched(flat.nodes(2, 2)),
    "buffers outside of the file": _patched(flat.buffers(1 << 40, 8)),
    "buffers before the file": _patched(flat.buffers(-4096, 8)),
    "buffers of less than nothing": _patched(flat.buffers(0, -8)),
    "buffers of one place": _patched(flat.buffers(0, 64)),
    "a batch outside of the file": _patched(flat.block(1 << 50, 256, 64)),
    "a batch before the file": _patched(flat.block(-256, 256, 64)),
    "a batch without metadata": _patched(flat.block(8, 0, 64)),
    "a batch of two gigabytes": _patched(flat.block(8, (1 << 31) - 8, 1 << 40)),
    "a version before compression": _patched(flat.version(3)),
    "a version of the future": _patched(flat.version(9)),
    "numbers the other way round": _patched(flat.big_endian),
    "offsets that go back": _bent("reward", 1, 0x7FFFFFF0),
    "offsets below nothing": _bent("reward", 0, -5),
    "offsets past the end": _bent("reward", 2, 2_000_000_000),
    "text past its end": _bent("mode", 2, 1_000_000),
    "text that is none": Attack("tables", _no_text),
    # Kinds of columns.
    "a column of unions": _column(_union),
    "a column in runs": _column(
        lambda n: pa.RunEndEncodedArray.from_arrays(pa.array([n], pa.int32()), pa.array([0.0]))
    ),
    "a column of dictionaries": _column(lambda n: pa.array(["x"] * n).dictionary_encode()),
    "a column of views": _column(lambda n: pa.array(["x" * 40] * n, pa.string_view())),
    "a column of views of lists": _column(lambda n: pa.nulls(n, pa.list_view(pa.float64()))),
    "a column of large lists": _column(lambda n: pa.nulls(n, pa.large_list(pa.float64()))),
    "a column of decimals": _column(lambda n: pa.nulls(n, pa.decimal256(76, 4))),
    "a column of bytes": _column(lambda n: pa.array([b"\x80\x04."] * n)),
    "a column of nothing": _column(lambda n: pa.nulls(n)),
    "a column of halves": _column(lambda n: pa.array(np.zeros(n, np.float16))),
    "a column of records": _column(lambda n: pa.array([{"x": 1}] * n)),
    "a column of an extension": _column(lambda n: pa.array(['{"a": 1}'] * n, pa.json_())),
    "a column of lists of lists": _column(_deep),
    "a pickled type": Attack(
        "tables",
        _rewritten(
            _field({"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": "cos\nsystem\n"})
        ),
    ),
    "metadata of a column": Attack("tables", _rewritten(_field({"x": HTML}))),
    "a column with markup for a name": Attack("tables", _rewritten(lambda t: t.append_column(HTML, t["tv"]))),
    "twenty thousand columns": Attack("tables", _rewritten(_wide)),
    "no column": Attack("tables", _rewritten(lambda t: t.select([]))),
    "a table of another name": Attack("tables", _rewritten(_noted(table="evaluations"))),
    "a table of another format": Attack("tables", _rewritten(_noted(format_version="99"))),
    "a table of another task": Attack("tables", _rewritten(_noted(task="Ant-v5"))),
    "a table of another run": Attack("tables", _rewritten(_noted(spec="{}"))),
    "megabytes of metadata": Attack("tables", _rewritten(_noted(x="x" * 7_000_000))),
    "megabytes of lists in metadata": Attack("tables", _rewritten(_noted(left_out="[" + "[]," * 2_000_000 + "[]]"))),
    "hashes of no columns": Attack("tables", _rewritten(_noted(left_out='{"ess": "' + "0" * 64 + '"}'))),
    "a checksum of nothing": Attack(
        "tables",
        lambda p: rewrite(p / PHASES, lambda t: t.replace_schema_metadata({**t.schema.metadata, b"checksum": b"0"})),
    ),
    "more batches than may be": Attack("tables", _batches(10_000)),
    # Other formats.
    "a stream": _as(_stream),
    "a feather of before": Attack("tables", edit(PHASES, lambda content: b"FEA1" + content + b"FEA1")),
    "a parquet": _as(lambda t, sink: pa.parquet.write_table(t.select(["phase", "tv"]), sink)),
    "a table in a parcel": Attack("tables", edit(PHASES, gzip.compress)),
    "a table cut short": Attack("tables", edit(FINAL, lambda content: content[: len(content) // 2])),
    "a table without its beginning": Attack("tables", edit(FINAL, lambda content: content[64:])),
    "a table without its end": Attack("tables", edit(FINAL, lambda content: content[:-6])),
    "a table of nothing": Attack("tables", edit(FINAL, lambda content: b"")),
    "a table of noise": Attack(
        "tables",
        edit(FINAL, lambda content: b"ARROW1\0\0" + np.random.default_rng(0).bytes(limits.FILE_BYTES - 64) + b"ARROW1"),
    ),
    # No harm.
    "two tables in one": Attack(None, edit(FINAL, lambda content: content + content)),
    "thousands of batches": Attack(None, _batches(5_000)),
    "another compression": Attack(None, lambda p: rewrite(p / FINAL, lambda t: t, compression="lz4")),
    "no compression": Attack(None, lambda p: rewrite(p / FINAL, lambda t: t)),
}
