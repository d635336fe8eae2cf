"""What an Arrow file declares is known before Arrow sees it, and nothing in it makes the reader of it stumble."""

from __future__ import annotations

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lagbench.leaderboard import limits
from lagbench.leaderboard.arrow_guard import Declared, GuardError, declared

ZSTD = pa.ipc.IpcWriteOptions(compression="zstd")


def written(file: Path, *batches: Any, options: Any = ZSTD) -> Path:
    with pa.ipc.new_file(str(file), batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return file


def batch(**columns: Any) -> Any:
    return pa.RecordBatch.from_pydict(columns)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Two batches of 100 and 50 rows, with lists, text and nulls."""
    rows: dict[str, Any] = {"x": np.arange(100), "s": ["a", None] * 50, "l": [[1.0] * (i % 3) for i in range(100)]}
    return written(tmp_path / "x.arrow", batch(**rows), batch(**{k: v[:50] for k, v in rows.items()}))


def replaced(file: Path, old: bytes, new: bytes, count: int = 1) -> Path:
    content = file.read_bytes()
    assert content.count(old) >= 1
    file.write_bytes(content.replace(old, new, count))
    return file


def test_rows_batches_and_bytes(file: Path) -> None:
    found = declared(file)
    table = pa.ipc.open_file(file).read_all()
    assert (found.rows, found.batches) == (150, 2)
    # Arrow's buffers are padded when they are alone.
    assert found.bytes == pytest.approx(table.nbytes, rel=0.05)


def test_without_compression_it_is_what_lies_there(tmp_path: Path) -> None:
    file = written(tmp_path / "x.arrow", batch(x=np.arange(1000)), options=pa.ipc.IpcWriteOptions())
    assert declared(file) == Declared(1000, 1, 8000)
    empty = written(tmp_path / "y.arrow", batch(x=np.arange(0)))
    assert declared(empty).rows == 0
    with pa.ipc.new_file(str(tmp_path / "z.arrow"), pa.schema([])):
        pass
    assert declared(tmp_path / "z.arrow") == Declared(0, 0, 0)


def test_what_would_be_gigabytes_is_not_decompressed(tmp_path: Path) -> None:
    zeros = pa.array(np.zeros(limits.TABLE_BYTES // 8 + 1))
    file = written(tmp_path / "bomb.arrow", batch(x=zeros))
    assert file.stat().st_size < limits.TABLE_BYTES / 1000
    with pytest.raises(GuardError, match=r"more than 67,108,864 bytes once decompressed"):
        declared(file)
    # As large as its header says, not as it is.
    replaced(file, struct.pack("<q", limits.TABLE_BYTES + 8), struct.pack("<q", 1 << 46))
    with pytest.raises(GuardError, match="once decompressed"):
        declared(file)


def test_many_small_batches_are_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "x.arrow", *[batch(x=np.arange(10))] * 20)
    monkeypatch.setattr(limits, "TABLE_BYTES", 1000)
    with pytest.raises(GuardError, match="more than 1,000 bytes"):
        declared(file)
    monkeypatch.undo()
    monkeypatch.setattr(limits, "ROWS", 150)
    with pytest.raises(GuardError, match="more than 150 rows"):
        declared(file)
    monkeypatch.undo()
    monkeypatch.setattr(limits, "BATCHES", 19)
    with pytest.raises(GuardError, match="20 record batches, and 19 are allowed"):
        declared(file)
    monkeypatch.setattr(limits, "FILE_BYTES", 100)
    with pytest.raises(GuardError, match="larger than 100 bytes"):
        declared(file)


def blocks(file: Path) -> list[bytes]:
    """The structs of the footer that say where each batch is."""
    content = file.read_bytes()
    (length,) = struct.unpack_from("<i", content, len(content) - 10)
    footer = content[len(content) - 10 - length : len(content) - 10]
    reader = pa.ipc.open_file(file)
    found = [footer[i : i + 24] for i in range(0, len(footer) - 24, 4)]
    likely = [
        b
        for b in found
        if 8 <= struct.unpack("<qi4xq", b)[0] < len(content)
        and content[struct.unpack("<q", b[:8])[0] :][:4] == b"\xff" * 4
    ]
    assert len(likely) == reader.num_record_batches
    return likely


def test_a_batch_counts_once(file: Path) -> None:
    first, second = blocks(file)
    replaced(file, second, first)
    with pytest.raises(GuardError, match="upon another"):
        declared(file)


@pytest.mark.parametrize("offset", [-8, 1, 1 << 40, -(1 << 62)])
def test_a_batch_lies_within_the_file(file: Path, offset: int) -> None:
    first, _ = blocks(file)
    at, head, body = struct.unpack("<qi4xq", first)
    replaced(file, first, struct.pack("<qi4xq", offset if offset < 8 else at + offset, head, body))
    with pytest.raises(GuardError):
        declared(file)


def test_rows_that_are_not_there(file: Path) -> None:
    """A batch that says it has 2⁶⁰ rows, and columns with as many values."""
    replaced(file, struct.pack("<q", 100), struct.pack("<q", 1 << 60), count=99)
    with pytest.raises(GuardError, match="declares more values than a table may have"):
        declared(file)
    replaced(file, struct.pack("<q", 1 << 60), struct.pack("<q", -1), count=99)
    with pytest.raises(GuardError, match="negative number of rows"):
        declared(file)


def test_the_older_form_of_compression_is_refused(tmp_path: Path) -> None:
    """There it stands elsewhere, and a size could be hidden."""
    options = pa.ipc.IpcWriteOptions(compression="zstd", metadata_version=pa.ipc.MetadataVersion.V4)
    with pytest.raises(GuardError, match="another version of the format"):
        declared(written(tmp_path / "x.arrow", batch(x=np.arange(10)), options=options))


def test_dictionaries_and_extensions_are_refused(tmp_path: Path) -> None:
    encoded = pa.RecordBatch.from_arrays([pa.array(["a", "b"]).dictionary_encode()], ["x"])
    with pytest.raises(GuardError, match="dictionary batches"):
        declared(written(tmp_path / "x.arrow", encoded))
    field = pa.field("x", pa.int64(), metadata={"ARROW:extension:name": "x.y"})
    extended = pa.RecordBatch.from_arrays([pa.array([1])], schema=pa.schema([field]))
    with pytest.raises(GuardError, match="extension type"):
        declared(written(tmp_path / "y.arrow", extended))


@pytest.mark.parametrize(
    "content", [b"", b"ARROW1", b"ARROW1\0\0" * 3, b"PAR1" * 100, b"ARROW1\0\0" + b"\xff" * 40 + b"ARROW1"]
)
def test_what_is_no_arrow_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.arrow").write_bytes(content)
    with pytest.raises(GuardError, match="Arrow"):
        declared(tmp_path / "x.arrow")


def test_whatever_is_changed_it_answers_or_refuses(file: Path) -> None:
    rng = random.Random(0)
    whole = file.read_bytes()
    refused = 0
    for _ in range(600):
        content = bytearray(whole)
        for _ in range(rng.choice([1, 1, 4, 32])):
            at = rng.randrange(len(content)) if rng.random() < 0.5 else rng.randrange(len(content) - 600, len(content))
            size = rng.choice([1, 2, 4, 8])
            content[at : at + size] = rng.choice([rng.randbytes(size), b"\xff" * size, b"\0" * size])[
                : len(content) - at
            ]
        file.write_bytes(content[: rng.randrange(len(content))] if rng.random() < 0.1 else content)
        try:
            declared(file)
        except GuardError:
            refused += 1
    assert 100 < refused < 550
