"""Runs, opened from disk: finished and not, damaged and not runs at all."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset
import pytest
import torch

from lagbench.errors import LagbenchError, RecordError
from lagbench.records import streams
from lagbench.records.curve import CurvePoint
from lagbench.records.reader import find_run, open_run
from lagbench.records.rows import EvaluationRecord
from lagbench.source.algorithms import AlgorithmSource
from lagbench.spec import EvaluationPlan
from tests.records.build import PHASES, TABLES, finish, make_policy, make_record, make_spec, write, write_finished


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "run"
    write_finished(path, make_spec())
    return path


def test_a_finished_run(finished: Path) -> None:
    run = open_run(str(finished))
    assert (run.status, run.summary, run.spec) == ("completed", {}, make_spec())
    result = json.loads((finished / "result.json").read_text())
    assert run.result == result
    for name in TABLES:
        dataset = getattr(run, name)
        assert isinstance(dataset, pyarrow.dataset.Dataset)
        assert dataset.count_rows() == result["rows"][name]


def test_an_unfinished_run(tmp_path: Path) -> None:
    write(tmp_path / "run", make_spec(), map(make_record, range(3))).close()
    run = open_run(tmp_path / "run")
    assert (run.status, run.summary, run.result) == ("unfinished", {}, None)
    assert isinstance(run.phases, pyarrow.dataset.Dataset)
    assert run.phases.to_table()["phase"].to_pylist() == [0, 1, 2]
    assert [point.budget_used for point in run.curve()] == [0, 96]
    with pytest.raises(RecordError, match="has no policy yet"):
        run.policy()


def test_a_phase_that_is_not_in_every_table_is_in_none(tmp_path: Path) -> None:
    """As after a kill between the batches of one commit."""
    path = tmp_path / "run"
    writer = write(path, make_spec(), map(make_record, range(2)))
    size = (path / "phases" / "00000.arrows").stat().st_size
    writer.commit(make_record(4))
    writer.close()
    with (path / "phases" / "00000.arrows").open("r+b") as file:
        file.truncate(size)
    run = open_run(path)
    assert set(run.trajectories.to_table()["phase"].to_pylist()) == {0, 1}
    assert set(run.episodes.to_table()["phase"].to_pylist()) == {0, 1}


def test_a_run_without_a_phase(tmp_path: Path) -> None:
    write(tmp_path / "run", make_spec(), []).close()
    run = open_run(tmp_path / "run")
    assert (run.phases.count_rows(), run.curve()) == (0, [])
    assert "<svg" not in run._repr_html_()
    for table in TABLES:
        streams.remove(tmp_path / "run" / table)
    with pytest.raises(RecordError, match="has no rows yet"):
        open_run(tmp_path / "run").episodes  # noqa: B018


def test_the_policy_comes_back(finished: Path) -> None:
    loaded, original = open_run(finished).policy().state_dict(), make_policy().state_dict()
    assert loaded.keys() == original.keys()
    assert all(torch.equal(loaded[name], original[name]) for name in original)


def test_a_failed_run_has_no_policy(tmp_path: Path) -> None:
    writer = write(tmp_path / "run", make_spec(), [make_record(0)])
    writer.finish("failed", {"reason": "x"}, {})
    run = open_run(tmp_path / "run")
    assert (run.status, run.summary) == ("failed", {"reason": "x"})
    with pytest.raises(RecordError, match="has no policy: the run failed"):
        run.policy()


def points(records: list[EvaluationRecord]) -> list[CurvePoint]:
    return [CurvePoint(e.fractions[0], e.budget_used, e.mean_return, e.standard_error, 3) for e in records]


def test_the_curve_of_a_plan_of_version_0_is_of_the_mode(finished: Path) -> None:
    records = [e for phase in range(PHASES) for e in make_record(phase).evaluations]
    by_mode = {mode: [e for e in records if e.mode == mode] for mode in ("mode", "stochastic")}
    run = open_run(finished)
    assert run.curve() == run.curve("mode") == points(by_mode["mode"])
    assert [point.fraction for point in run.curve()] == [0.0, 0.5, 1.0]
    # Actions were sampled in the last evaluation alone.
    assert run.curve("stochastic") == points(by_mode["stochastic"])
    assert [point.fraction for point in run.curve("stochastic")] == [1.0]


def test_the_curve_is_of_sampled_actions(tmp_path: Path) -> None:
    record = make_record(PHASES - 1)
    write(tmp_path / "run", make_spec(evaluation=EvaluationPlan(3, 2, 3)), [record]).close()
    mode, sampled = record.evaluations
    run = open_run(tmp_path / "run")
    assert run.curve() == run.curve("stochastic") == points([sampled])
    assert run.curve("mode") == points([mode])


def test_an_evaluation_for_several_fractions(tmp_path: Path) -> None:
    record = make_record(0)
    (evaluation,) = record.evaluations
    both = dataclasses.replace(evaluation, fractions=(0.0, 0.1))
    write(tmp_path / "run", make_spec(), [dataclasses.replace(record, evaluations=[both])]).close()
    found = open_run(tmp_path / "run").curve()
    assert [(point.fraction, point.mean) for point in found] == [(f, both.mean_return) for f in (0.0, 0.1)]


def test_in_a_notebook(tmp_path: Path) -> None:
    spec = make_spec(algorithm=AlgorithmSource("<b>&mine.py:Mine", "0" * 64))
    write_finished(tmp_path / "run", spec)
    text = open_run(tmp_path / "run")._repr_html_()
    tree = xml.etree.ElementTree.fromstring(f"<div>{text}</div>")
    cells = {row[0].text: row[1].text for row in tree.iter("tr")}
    assert cells["algorithm"] == "<b>&mine.py:Mine"
    assert (cells["task"], cells["status"], cells["lag"]) == ("Hopper-v5", "completed", "2 (uniform)")
    for name in ("last evaluation, deterministic actions", "last evaluation, sampled actions"):
        assert re.fullmatch(r"-?\d+\.\d ± \d+\.\d at 100% of the budget", cells[name] or "")
    svg = tree.find("{http://www.w3.org/2000/svg}svg")
    assert svg is not None
    assert len(svg.findall("{*}circle")) == 3
    # Nothing is fetched from elsewhere.
    assert "href" not in text
    assert "src" not in text
    assert "url(" not in text


def test_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="there is no directory"):
        open_run(tmp_path / "nothing")
    with pytest.raises(RecordError, match=r"it has no spec\.json"):
        open_run(tmp_path)


def edit_json(name: str, key: str, value: object, item: int | None = None) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        data = json.loads((path / name).read_text())
        (data if item is None else data[item])[key] = value
        (path / name).write_text(json.dumps(data))

    return edit


def rewrite(path: Path, table: str, change: Callable[[Any], Any]) -> None:
    file = path / table / "data.arrow"
    changed = change(pa.ipc.open_file(pa.memory_map(str(file))).read_all())
    file.unlink()
    with pa.ipc.new_file(str(file), changed.schema) as writer:
        writer.write_table(changed)


def drop_a_row(path: Path) -> None:
    rewrite(path, "phases", lambda table: table.slice(1))


def drop_a_column(path: Path) -> None:
    rewrite(path, "phases", lambda table: table.drop_columns("tv"))


def replace_bytes(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        data = (path / name).read_bytes()
        assert old in data
        (path / name).write_bytes(data.replace(old, new))

    return edit


def read_all(path: Path) -> None:
    run = open_run(path)
    run.phases.to_table()
    run.policy()
    assert run.environment


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            edit_json("spec.json", "seed", 1),
            r"spec\.json is not the specification .* \(seed is 1, was 0\); change it back",
        ),
        (edit_json("spec.json", "lag", 2), r"spec\.json is not the specification .* \(lag is 2, was missing\)"),
        (edit_json("result.json", "format_version", 3), r"result\.json has format 3.*pip install -U lagbench"),
        (replace_bytes("result.json", b'"rows"', b'"sows"'), r"result\.json cannot be read"),
        (lambda p: (p / "spec.json").write_text("{"), r"spec\.json.*is not JSON"),
        (lambda p: (p / "result.json").write_text("[]"), r"result\.json cannot be read"),
        (lambda p: (p / "phases/data.arrow").unlink(), r"phases/data\.arrow is missing"),
        (lambda p: (p / "phases/data.arrow").write_bytes(b"ARROW1" * 9), r"phases/data\.arrow cannot be read"),
        (lambda p: (p / "episodes/data.arrow").rename(p / "phases/data.arrow"), r"is not the table 'phases'"),
        (
            edit_json("result.json", "rows", {"phases": 7}),
            r"result\.json cannot be read \(its checksum does not match\)",
        ),
        (drop_a_row, r"phases/data\.arrow has 5 rows where 6 were recorded"),
        (drop_a_column, r"phases/data\.arrow has changed columns"),
        (edit_json("environment.json", "cpu", "x", item=0), r"environment\.json is damaged: a checksum"),
        (lambda p: (p / "environment.json").unlink(), r"environment\.json cannot be read"),
        (lambda p: (p / "environment.json").write_text("[]"), r"environment\.json is damaged"),
        (lambda p: (p / "result.json").unlink(), r"result\.json is missing"),
        (lambda p: (p / "policy.safetensors").write_bytes(b"x" * 20), r"policy\.safetensors cannot be read"),
        (lambda p: (p / "policy.safetensors").unlink(), r"policy\.safetensors cannot be read"),
    ],
)
def test_damage_is_named(tmp_path: Path, damage: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "run"
    write_finished(path, make_spec())
    damage(path)
    with pytest.raises(LagbenchError, match=message) as caught:
        read_all(path)
    assert "\n" not in str(caught.value)


def test_a_newer_format(tmp_path: Path) -> None:
    path = tmp_path / "run"
    write_finished(path, make_spec())

    def newer(table: Any) -> Any:
        return table.replace_schema_metadata({**table.schema.metadata, b"format_version": b"3"})

    rewrite(path, "phases", newer)
    with pytest.raises(RecordError, match=r"phases/data\.arrow has format 3; this lagbench reads up to 2"):
        open_run(path).phases  # noqa: B018
    for table in TABLES[:-1]:
        rewrite(path, table, newer)
    edit_json("spec.json", "format_version", 3)(path)
    with pytest.raises(RecordError, match=r"spec\.json cannot be read: .* format 3.*pip install -U lagbench"):
        open_run(path)


@pytest.mark.parametrize("end", ["data.arrow", "00000.arrows"])
def test_a_table_of_another_run(tmp_path: Path, end: str) -> None:
    for seed in (0, 1):
        writer = write(tmp_path / f"{seed}", make_spec(seed=seed), map(make_record, range(PHASES)))
        if end == "data.arrow":
            finish(writer)
        writer.close()
    for name in {end, end.replace("arrows", "sums")}:
        shutil.copy(tmp_path / "1" / "episodes" / name, tmp_path / "0" / "episodes")
    run = open_run(tmp_path / "0")
    assert run.phases.count_rows() == PHASES
    with pytest.raises(
        RecordError,
        match=r"episodes.* belongs to another run \(seed is 1, was 0\); restore it from a "
        "copy",
    ):
        run.episodes  # noqa: B018


def test_verification_is_of_every_value(tmp_path: Path) -> None:
    """What a structure does not show: one value changed, in a file that is whole."""
    path = tmp_path / "run"
    write_finished(path, make_spec())
    assert open_run(path, verify=True).status == "completed"

    def change(table: Any) -> Any:
        columns = table.to_pydict()
        columns["reward"][17] += 1.0
        return pa.table(columns, schema=table.schema)

    rewrite(path, "trajectories", change)
    assert open_run(path).trajectories.count_rows()
    with pytest.raises(RecordError, match=r"trajectories/data\.arrow contains changed values"):
        open_run(path, verify=True)


def test_verification_is_of_the_policy_too(tmp_path: Path) -> None:
    path = tmp_path / "run"
    write_finished(path, make_spec())
    file = path / "policy.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(RecordError, match=r"policy\.safetensors cannot be read \(its SHA-256"):
        open_run(path, verify=True)


def test_runs_are_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["Hopper-v5/vaco/lag8-u80-seed0-1", "Hopper-v5/vaco/lag8-u80-seed0-2", "Hopper-v5/ppo/lag8-u80-seed0-1"]
    for name in names:
        write(Path("runs") / name, make_spec(), []).close()
    for text in (f"runs/{names[0]}", names[0], str(tmp_path / "runs" / names[0])):
        assert find_run(text).resolve() == (tmp_path / "runs" / names[0]).resolve()
    assert find_run("lag8-u80-seed0-2") == Path("runs") / names[1]
    with pytest.raises(RecordError, match=r"is ambiguous: .*ppo.*vaco.*give the whole path"):
        find_run("lag8-u80-seed0-1")
    with pytest.raises(RecordError, match="did you mean 'lag8-u80-seed0-2'"):
        find_run("lag8-u80-seed02")
    with pytest.raises(RecordError, match="give the directory of a run"):
        find_run("zzz")
