"""Results as a table that grows: what is added, what is left, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pyarrow as pa
import pytest
from click.testing import CliRunner

from lagbench.scoring import table
from scripts import results
from tests.records import build


def test_a_table_grows_by_finished_runs(tmp_path: Path) -> None:
    file, runs = tmp_path / "kept/x.arrow", tmp_path / "runs"
    assert results.grow(file, runs) == []
    assert not file.exists()
    build.write_finished(runs / "a", build.make_spec(seed=0))
    build.write(runs / "b", build.make_spec(seed=1), [build.make_record(0)]).close()
    assert [row["seed"] for row in results.grow(file, runs)] == [0]
    (runs / "a").rename(tmp_path / "gone")
    (runs / "b").rename(tmp_path / "too")
    build.write_finished(runs / "c", build.make_spec(seed=2))
    rows = results.grow(file, runs)
    assert [row["seed"] for row in rows] == [0, 2]
    assert rows == results.read(file) == table.from_file(file).to_pylist()
    before = file.read_bytes()
    results.grow(file, runs)
    assert file.read_bytes() == before


def test_a_run_that_came_out_otherwise_is_refused(tmp_path: Path) -> None:
    file, runs = tmp_path / "x.arrow", tmp_path / "runs"
    build.write_finished(runs / "a", build.make_spec())
    rows = results.grow(file, runs)
    other = [{**row, "content_hash": "0" * 64} for row in rows]
    table.to_file(table.check(pa.Table.from_pylist(other, table.SCHEMA), "x"), file)
    with pytest.raises(click.ClickException, match=r"runs/a has another result than .*runs/a, which .*x\.arrow has"):
        results.grow(file, runs)


def test_final_returns_in_markdown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS", tmp_path / "kept")
    runs = tmp_path / "runs"
    for seed in (1, 0):
        build.write_finished(runs / f"{seed}", build.make_spec(seed=seed))
    writer = build.write(runs / "2", build.make_spec(seed=2), map(build.make_record, range(4)))
    writer.finish("diverged", {}, build.make_policy().state_dict())
    done = CliRunner().invoke(results.main, ["mine", "--from", str(runs)])
    assert done.exit_code == 0, done.output
    rows = results.read(tmp_path / "kept/mine.arrow")
    first, second, _ = (f"{row['returns'][-1]:.0f}" for row in rows)
    spec = json.loads(rows[0]["spec"])
    name, task, protocol = spec["algorithm"]["name"], spec["task"], spec["protocol"]
    assert done.stdout.splitlines() == [
        f"| algorithm | {task}, lag {protocol['lag']}, {protocol['updates']} updates |",
        "| --- | --- |",
        f"| {name} | {first}, {second}, diverged |",
    ]
    assert done.stderr == "3 runs\n"
    assert CliRunner().invoke(results.main, ["mine"]).stdout == done.stdout
