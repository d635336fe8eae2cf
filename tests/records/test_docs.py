"""docs/records.md says what there is: every column, with its type; and its code runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lagbench import diagnostics
from lagbench.protocol import Protocol
from lagbench.records.reader import open_run
from lagbench.records.schema import schemas, type_name
from tests.records.build import ACTION, OBSERVATION, SIZES, TABLES, make_record, make_spec, write, write_finished
from tests.records.conftest import PHASES

TEXT = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")

BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def documented(table: str) -> dict[str, list[str]]:
    """Column → type, unit and meaning, from the table under the heading of that name."""
    (section,) = re.findall(rf"^### {table}\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


def written_type(kind: str) -> str:
    return kind.replace("[obs]", f"[{OBSERVATION}]").replace("[act]", f"[{ACTION}]")


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_documented(table: str) -> None:
    schema = schemas(make_spec(), **SIZES)[table]
    columns = documented(table)
    assert list(columns) == schema.names
    for field in schema:
        kind, unit, meaning = columns[field.name]
        assert written_type(kind) == type_name(field.type), field.name
        assert unit, field.name
        assert meaning, field.name


LANGUAGE: dict[str, Any] = {"task": "GSM8k-v0", "protocol": Protocol.resolve(minibatch=32, actors=4, phase_steps=8)}


@pytest.mark.parametrize("table", TABLES)
def test_columns_of_language_are_documented(table: str) -> None:
    spec = make_spec(**LANGUAGE)
    schema = schemas(spec, diagnostics=diagnostics.names(spec.domain))[table]
    columns = documented(f"language: {table}")
    if table == "phases":
        shared = documented(table)
        columns = {**{k: v for k, v in shared.items() if k != "metrics"}, **columns, "metrics": shared["metrics"]}
    assert list(columns) == schema.names
    for field in schema:
        kind, unit, meaning = columns[field.name]
        assert kind == type_name(field.type), field.name
        assert unit, field.name
        assert meaning, field.name


@pytest.mark.parametrize("table", ["trajectories", "phases"])
def test_further_columns_of_asynchronous_runs_are_documented(table: str) -> None:
    protocol = Protocol.resolve(lag_mode="asynchronous", lag=2, minibatch=8, actors=4, phase_steps=8)
    spec = make_spec(protocol=protocol)
    sizes = {**SIZES, "diagnostics": diagnostics.names(spec.domain, asynchronous=True)}
    schema, columns = schemas(spec, **sizes)[table], documented(f"asynchronous: {table}")
    assert [name for name in schema.names if name not in documented(table)] == list(columns)
    for name, (kind, unit, meaning) in columns.items():
        assert kind == type_name(schema.field(name).type), name
        assert unit, name
        assert meaning, name


@pytest.mark.slow
def test_the_code_runs(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    shutil.copytree(finished, "RUN")
    run = open_run("RUN")
    assert run.result is not None
    rows = run.result["rows"]
    write(Path("UNFINISHED"), make_spec(), map(make_record, range(3))).close()
    with Path("UNFINISHED/trajectories/00000.arrows").open("r+b") as file:
        file.seek(-8, 2)  # where the end-of-stream marker was, a torn batch
        file.write(b"\xff\xff\xff\xff\x40\x00\x00\x00")
    scope: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/records.md", "exec"), scope)
    transitions = run.trajectories.to_table()
    lag = np.subtract(transitions["learner_version"], transitions["behaviour_version"])
    phase = np.asarray(transitions["phase"])
    means = [lag[phase == k].mean() for k in range(PHASES)]
    assert scope["lag"].num_rows == rows["trajectories"]
    assert scope["by_version"]["lag"].to_list() == pytest.approx(means)
    tv = run.phases.to_table()["tv"].to_pylist()
    assert scope["total_variation"] == [(k, tv[k], pytest.approx(means[k])) for k in range(PHASES)]
    assert len(scope["transitions"]) == rows["trajectories"]
    first = next(run.batches(["observation"], 256))["observation"]
    assert torch.equal(scope["first"]["observation"], first.float())  # datasets makes it so
    assert scope["measured"]["tv"][:] == tv
    assert scope["table"].num_rows == sum(len(make_record(k).transitions.columns["step"]) for k in range(3))
    assert scope["policy"].log_std.shape == (3,)
    assert scope["best"].episode_return == max(run.evaluations.to_table()["return"].to_pylist())
    assert scope["batch"]["action"].shape[1] == 3
    assert scope["report"].passed


def test_the_content_hash_is_as_defined(tmp_path: Path) -> None:
    result = write_finished(tmp_path / "run", make_spec())
    scope: dict[str, Any] = {}
    (block,) = [b for b in BLOCKS if "def table_hash" in b]
    exec(compile(block, "docs/records.md", "exec"), scope)
    for table in TABLES:
        types = {name: written_type(row[0]) for name, row in documented(table).items()}
        rows = getattr(open_run(tmp_path / "run"), table).to_table()
        assert scope["table_hash"](rows, types) == result["content_hash"][table]
