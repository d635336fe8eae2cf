"""Rows as tensors: the values of the table, and no copy where Arrow lies as torch does."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from lagbench.errors import RecordError, UsageError
from lagbench.records import tensors
from lagbench.records.reader import open_run
from tests.records.build import make_spec, write_finished

COLUMNS = ["episode_id", "step", "observation", "action", "reward", "terminated", "behaviour_log_prob"]
DTYPES = [torch.int64, torch.int32, torch.float64, torch.float32, torch.float32, torch.bool, torch.float32]


@pytest.mark.parametrize(("kind", "size"), [("finished", 1), ("finished", 100_000), ("unfinished", 100)])
def test_values(kind: str, size: int, request: pytest.FixtureRequest) -> None:
    run = open_run(request.getfixturevalue(kind))
    table = run.trajectories.to_table()
    batches = list(run.batches(COLUMNS, size))
    lengths = [len(batch["step"]) for batch in batches]
    assert sum(lengths) == len(table)
    assert all(n == size for n in lengths[:-1])
    assert 0 < lengths[-1] <= size
    for name, dtype in zip(COLUMNS, DTYPES, strict=True):
        column = torch.cat([batch[name] for batch in batches])
        assert column.dtype == dtype
        assert column.tolist() == table[name].to_pylist()


def addresses(buffer: Any) -> range:
    return range(buffer.address, buffer.address + buffer.size)


def test_no_copy_is_made(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tensor lies in the memory into which the file is mapped."""
    run = open_run(finished)
    (batch,) = run.read("trajectories")
    monkeypatch.setattr(type(run), "read", lambda *_: iter([batch]))
    names = [name for name in COLUMNS if name != "terminated"]
    for number, rows in enumerate(run.batches(names, 100)):
        for name, values in rows.items():
            column = batch.column(name)
            flat = column.flatten() if name in ("observation", "action") else column
            start = flat.buffers()[1].address
            assert values.data_ptr() == start + number * 100 * values[0].numel() * values.element_size()
            assert values.data_ptr() in addresses(flat.buffers()[1])
            assert values.is_contiguous()


def test_a_slice_is_no_copy_either() -> None:
    column = pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float64(), 2))
    part = tensors.tensor(column.slice(1))
    assert part.tolist() == [[3.0, 4.0], [5.0, 6.0]]
    assert part.data_ptr() == column.flatten().buffers()[1].address + 16


def test_tensors_outlive_the_run_and_may_be_written_to(tmp_path: Path) -> None:
    """The file stays as it is: memory that is written to becomes this process's own."""
    write_finished(tmp_path / "run", make_spec())
    file = tmp_path / "run" / "trajectories" / "data.arrow"
    before = file.read_bytes()
    batches = list(open_run(tmp_path / "run").batches(["reward", "observation"], 16))
    expected = [batch["observation"].tolist() for batch in batches]
    gc.collect()
    for batch in batches:
        batch["reward"] += 1.0
    assert [batch["observation"].tolist() for batch in batches] == expected
    assert file.read_bytes() == before
    assert open_run(tmp_path / "run", verify=True)


@pytest.mark.parametrize(
    ("columns", "size", "message"),
    [
        (["rewards"], 8, "unknown column 'rewards'; did you mean 'reward'"),
        (["final_observation"], 8, "'final_observation' is list<.*>, which cannot be a tensor"),
        (["reward"], 0, "batch size must be at least 1, not 0"),
    ],
)
def test_what_cannot_be(columns: list[str], size: int, message: str, finished: Path) -> None:
    with pytest.raises(UsageError, match=message):
        open_run(finished).batches(columns, size)


def test_summaries_only(tmp_path: Path) -> None:
    write_finished(tmp_path / "run", make_spec("episodes"))
    with pytest.raises(RecordError, match="was run with --record episodes"):
        open_run(tmp_path / "run").batches(["reward"], 8)
