"""Run directories as a table: what is in it, whatever the order, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest

import lagbench
from lagbench.errors import LagbenchError, RecordError, UsageError
from lagbench.records import environment
from lagbench.records.reader import open_run
from lagbench.scoring import find, table
from tests.records import build
from tests.scoring import synthetic


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs, one that diverged, one that failed, one that goes on."""
    root = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        build.write_finished(root / f"a/seed{seed}", build.make_spec(seed=seed))
    ends: dict[Literal["diverged", "failed"], int] = {"diverged": 4, "failed": 2}
    for status, phases in ends.items():
        writer = build.write(root / status, build.make_spec(seed=2), map(build.make_record, range(phases)))
        writer.finish(status, {}, build.make_policy().state_dict())
    (root / "diverged" / environment.FILE).unlink()
    build.write(root / "unfinished", build.make_spec(seed=3), [build.make_record(0)]).close()
    return root


@pytest.fixture
def rows(runs: Path) -> dict[str, Any]:
    return {Path(row["path"]).name: row for row in table.collect([runs]).to_pylist(maps_as_pydicts="strict")}


def test_a_row_a_run(runs: Path, rows: dict[str, Any]) -> None:
    assert set(rows) == {"seed0", "seed1", "diverged", "failed", "unfinished"}
    run, row = open_run(runs / "a/seed0"), rows["seed0"]
    curve = run.curve()
    means = [point.mean for point in curve]
    assert row["returns"] == means
    assert row["errors"] == [point.standard_error for point in curve]
    assert row["fractions"] == [0, 0.5, 1]
    assert row["final"] == means[-1]
    assert row["area"] == pytest.approx((means[0] + 2 * means[1] + means[2]) / 4)
    # Of a plan of version 0, whose measure is the mean action.
    assert (row["evaluation_episodes"], row["evaluation_mode_episodes"]) == (3, None)
    assert row["mode_returns"] == row["mode_errors"] == []
    assert json.loads(row["config"]) == {"delta": 0.2, "align": True}
    assert json.loads(row["protocol"]) == run.spec.protocol.to_json()
    assert (row["lag"], row["updates"], row["forward"]) == (2, 40, "reuse")
    assert run.result is not None
    assert row["content_hash"] == run.result["content_hash"]["evaluations"]
    assert row["lagbench"] == [run.environment[0]["packages"]["lagbench"]]
    assert row["envpool"][0].startswith("1.")


def test_what_is_scored_is_sampled_and_the_mean_action_stands_beside(tmp_path: Path) -> None:
    cell: dict[str, Any] = {"suite": "TESTING", "task": "InvertedPendulum-v5", "lag": 0, "record": "episodes"}
    run = lagbench.run(out=tmp_path / "run", **cell)
    (row,) = table.collect([tmp_path]).to_pylist()
    for mode, returns, errors in (("stochastic", "returns", "errors"), ("mode", "mode_returns", "mode_errors")):
        curve = run.curve(mode)  # type: ignore[arg-type]
        assert row[returns] == [point.mean for point in curve]
        assert row[errors] == [point.standard_error for point in curve]
    assert row["returns"] != row["mode_returns"]
    assert (row["evaluation_episodes"], row["evaluation_mode_episodes"]) == (3, 2)


def test_diagnostics_are_means_over_the_phases(rows: dict[str, Any]) -> None:
    records = [build.make_record(phase) for phase in range(build.PHASES)]
    row = rows["seed0"]
    assert row["tv"] == pytest.approx(np.mean([r.diagnostics["tv"] for r in records]))
    assert row["updates_made"] == 40
    assert row["metrics"] == {
        "kept": 1.0,
        "loss": pytest.approx(np.mean([r.metrics["loss"] for r in records if r.metrics])),
    }


def test_the_course_is_in_blocks_of_phases(tmp_path: Path, rows: dict[str, Any]) -> None:
    records = [build.make_record(phase) for phase in range(build.PHASES)]
    course = rows["seed0"]["course"]
    assert course["budget_used"] == [r.budget_used for r in records]
    assert course["tv"] == pytest.approx([r.diagnostics["tv"] for r in records], rel=1e-6)
    assert course["updates_made"] == [40.0] * len(records)
    few = [build.make_record(phase) for phase in range(3)]
    every = [
        dataclasses.replace(few[k % 3], phase=k, budget_used=k, diagnostics={**few[k % 3].diagnostics, "kl": k / 7})
        for k in range(103)
    ]
    writer = build.write(tmp_path / "long", build.make_spec(), every)
    writer.finish("diverged", {}, build.make_policy().state_dict())
    (long,) = table.collect([tmp_path]).to_pylist()
    # 103 phases: 3 blocks of 3, then 47 of 2.
    blocks = [every[3 * i : 3 * i + 3] for i in range(3)] + [every[9 + 2 * i : 11 + 2 * i] for i in range(47)]
    assert {len(values) for values in long["course"].values()} == {50}
    assert long["course"]["budget_used"] == [block[-1].budget_used for block in blocks]
    means = [np.mean([r.phase for r in block]) / 7 for block in blocks]
    assert long["course"]["kl"] == pytest.approx(means, rel=1e-6)


def test_it_says_what_was_run_and_where(rows: dict[str, Any], runs: Path) -> None:
    row, run = rows["seed0"], open_run(runs / "a/seed0")
    assert json.loads(row["spec"]) == run.spec.to_json()
    digests = [build.make_record(phase).version_sha256 for phase in range(build.PHASES)]
    assert row["versions_sha256"] == hashlib.sha256("".join(digests).encode()).hexdigest()
    (place,) = json.loads(row["environment"])
    assert place["packages"] == run.environment[0]["packages"]
    assert (place["cpu"], place["torch_threads"]) == (run.environment[0]["cpu"], run.environment[0]["torch_threads"])
    assert rows["diverged"]["environment"] == "[]"
    assert rows["unfinished"]["course"] is rows["unfinished"]["versions_sha256"] is None


def test_a_run_that_diverged_keeps_what_was_measured(rows: dict[str, Any]) -> None:
    row = rows["diverged"]
    assert row["fractions"] == [0, 0.5]
    assert len(row["returns"]) == 2
    assert row["final"] is row["area"] is None
    assert row["tv"] is not None


@pytest.mark.parametrize("name", ["failed", "unfinished"])
def test_what_has_no_score_is_in_the_table_without_one(rows: dict[str, Any], name: str) -> None:
    row = rows[name]
    assert row["status"] == name
    assert row["returns"] == []
    assert row["metrics"] == {}
    assert row["final"] is row["content_hash"] is None


def test_the_order_of_the_arguments_is_none(runs: Path) -> None:
    one = table.collect([runs])
    other = table.collect([runs / "unfinished", runs / "failed", runs / "diverged", runs / "a/seed1", runs])
    assert one.equals(other)
    halves = [table.collect([runs / "failed"]), table.collect([runs / "a"])]
    assert table.concat(halves).equals(table.concat(halves[::-1]))


def test_versions_that_nobody_wrote_down_are_none(rows: dict[str, Any]) -> None:
    assert rows["diverged"]["envpool"] == []


def test_a_run_reached_twice_counts_once(runs: Path) -> None:
    assert find.find_runs([runs / "a", runs / "a/../a/seed0"]) == [runs / "a/seed0", runs / "a/seed1"]


def test_there_and_back(runs: Path, tmp_path: Path) -> None:
    first = table.collect([runs])
    table.to_file(first, tmp_path / "scores.arrow")
    again = table.from_file(tmp_path / "scores.arrow")
    assert again.equals(first, check_metadata=True)
    assert again.schema.metadata == {b"table": b"lagbench scores", b"format_version": b"3"}


def test_values_are_held_to_the_content_hash(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "a/seed0", tmp_path / "run")
    file = tmp_path / "run/phases/data.arrow"
    content = bytearray(file.read_bytes())
    value = np.float64(build.make_record(2).diagnostics["tv"]).tobytes()
    at = content.index(value)
    content[at : at + 8] = np.float64(0.125).tobytes()
    file.write_bytes(content)
    with pytest.raises(RecordError, match=r"phases/data\.arrow contains changed values"):
        table.collect([tmp_path])


def test_no_directory(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no directory '.*nowhere'; give directories that contain runs"):
        table.collect([tmp_path / "nowhere"])


def test_no_runs(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no run")
    with pytest.raises(UsageError, match=r"no runs found in '.*': none of its directories contains a spec\.json"):
        table.collect([tmp_path])


def test_a_foreign_directory(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text('{"openapi": "3.0"}')
    with pytest.raises(RecordError, match=r"spec\.json cannot be read: this is not a run specification"):
        table.collect([tmp_path])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"returns": [0.0, math.nan], "final": math.nan}, "its return at 100% of the budget is not finite"),
        ({"returns": [0.0, None]}, "its return at 100% of the budget is not finite"),
        ({"mode_returns": [0.0, math.nan]}, "its return at 100% of the budget is not finite"),
        ({"errors": [0.1]}, "the number of standard errors is not that of its evaluations"),
        (
            {"mode_returns": [0.0], "mode_errors": [0.1]},
            "mean actions and sampled actions were not evaluated at the same points",
        ),
        (synthetic.row(returns=[], status="diverged"), "its first policy was not evaluated"),
        (
            {name: [0.0] for name in ("returns", "errors", "mode_returns", "mode_errors")},
            "not at the planned fractions of the budget",
        ),
        (
            {name: [0.0] for name in ("fractions", "returns", "errors", "mode_returns", "mode_errors")},
            "it has 1 of 2 evaluations, although it is completed",
        ),
        ({"final": 2.0}, "its final return or area does not match its evaluations"),
        ({"area": None}, "its final return or area does not match its evaluations"),
        ({"status": "diverged"}, "it has a final return, although it did not use its whole budget"),
        ({"status": "splendid"}, "its status is 'splendid'"),
    ],
)
def test_what_cannot_be_scored(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LagbenchError, match=rf"runs/Hopper-v5/ppo/\S+ cannot be scored: .*{sentence}.*; run it again"):
        synthetic.table([{**synthetic.row(), **changes}])


def test_a_row_must_be_whole() -> None:
    with pytest.raises(LagbenchError, match="the table cannot be scored: a row has no task"):
        synthetic.table([{**synthetic.row(), "task": None}])
    with pytest.raises(LagbenchError, match="the columns are not those of docs/scores"):
        table.check(pa.table({"a": [1]}), "it")


def test_a_file_that_is_no_table(tmp_path: Path) -> None:
    file = tmp_path / "x.arrow"
    for content, error in ((b"", "cannot be read"), (b"ARROW1 and so on", "cannot be read")):
        file.write_bytes(content)
        with pytest.raises(LagbenchError, match=error):
            table.from_file(file)
    for metadata, error in (
        ({}, "is not a table of runs"),
        ({"format_version": "4"}, "has format 4; this lagbench reads 3"),
    ):
        about = {"table": table.NAME, **metadata} if metadata else {}
        with pa.ipc.new_file(str(file), pa.schema([("a", pa.int32())], metadata=about)):
            pass
        with pytest.raises(LagbenchError, match=error):
            table.from_file(file)


def test_docs_name_every_column() -> None:
    text = (Path(__file__).parents[2] / "docs/scores.md").read_text(encoding="utf-8")
    for field in table.SCHEMA:
        assert f"| `{field.name}` |" in text


def test_a_run_under_way_is_not_read(runs: Path, tmp_path: Path) -> None:
    """It may be written to at any moment: of it the specification is all that counts."""
    shutil.copytree(runs / "unfinished", tmp_path / "run")
    for name in build.TABLES:
        shutil.rmtree(tmp_path / "run" / name)
    (row,) = table.collect([tmp_path]).to_pylist()
    assert row["status"] == "unfinished"
    assert dataclasses.asdict(build.make_spec(seed=3).algorithm)["name"] == row["algorithm"]
