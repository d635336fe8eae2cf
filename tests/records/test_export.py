"""Runs as Parquet and as Minari datasets, read back with what others read them with, row by row and bit by bit."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import duckdb
import gymnasium
import minari
import numpy as np
import pyarrow.parquet
import pytest

import lagbench
from lagbench.errors import RecordError, UsageError
from lagbench.records.content_hash import table_hash
from lagbench.records.export import export
from lagbench.records.reader import Run, open_run
from lagbench.records.schema import type_name
from tests.records.build import TABLES, make_record, make_spec, write, write_finished

LONG = 1000
"""The steps of every HalfCheetah-v5 episode."""


@pytest.fixture(scope="module")
def cheetah(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("cheetah") / "run"
    shape: dict[str, Any] = {"actors": 2, "phase_steps": 128, "minibatch": 256, "updates": 1, "budget": 2304}
    return lagbench.run(task="HalfCheetah-v5", algo="vaco", lag=2, **shape, eval_episodes=1, eval_intervals=1, out=path)


@pytest.fixture(scope="module")
def hopper(tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("hopper") / "run"
    shape: dict[str, Any] = {"actors": 4, "phase_steps": 64, "minibatch": 256, "updates": 1, "budget": 768}
    return lagbench.run(algo="vaco", lag=2, **shape, eval_episodes=2, eval_intervals=1, out=path)


def plain(value: Any) -> Any:
    """A cell as pyarrow and DuckDB give it, in one form in which NaN equals itself."""
    if isinstance(value, dict):
        return sorted((k, plain(v)) for k, v in value.items())
    if isinstance(value, list):
        return [plain(v) for v in value]
    return tuple(map(plain, value)) if isinstance(value, tuple) else repr(value)


@pytest.mark.parametrize("name", ["cheetah", "hopper"])
def test_parquet_has_the_same_tables(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    steps: list[tuple[int, int]] = []
    done = export(run, "parquet", tmp_path / "new" / "tables", lambda k, n: steps.append((k, n)))
    assert run.result is not None
    assert (done.path, done.rows, done.notes) == (tmp_path / "new" / "tables", run.result["rows"], ())
    assert sorted(file.name for file in done.path.iterdir()) == sorted(f"{table}.parquet" for table in TABLES)
    assert steps[-1] == (sum(done.rows.values()),) * 2
    for table in TABLES:
        file = done.path / f"{table}.parquet"
        dataset = getattr(run, table)
        found = pyarrow.parquet.read_table(file)
        types = [[(f.name, type_name(f.type)) for f in schema] for schema in (found.schema, dataset.schema)]
        assert types[0] == types[1]
        assert found.schema.metadata == dataset.schema.metadata
        assert table_hash(found.schema, found.combine_chunks().to_batches()) == run.result["content_hash"][table]
        metadata = pyarrow.parquet.read_metadata(file)
        assert metadata.row_group(0).column(0).compression == "ZSTD"
        # A reader that shares no code with Arrow.
        rows = [list(map(plain, row)) for row in duckdb.connect().execute(f"SELECT * FROM '{file}'").fetchall()]
        assert rows == [[plain(cell) for cell in row.values()] for row in plain_maps(dataset.to_table())]


def plain_maps(table: Any) -> list[dict[str, Any]]:
    return [{**row, "metrics": dict(row["metrics"])} if "metrics" in row else row for row in table.to_pylist()]


def test_parquet_of_a_run_that_is_not_finished(tmp_path: Path) -> None:
    write(tmp_path / "run", make_spec(), map(make_record, range(4))).close()
    done = export(open_run(tmp_path / "run"), "parquet", tmp_path / "tables")
    assert done.rows["phases"] == 4
    assert done.rows["trajectories"] == sum(len(make_record(k).transitions.columns["step"]) for k in range(4))
    assert pyarrow.parquet.read_metadata(tmp_path / "tables" / "trajectories.parquet").num_row_groups == 1
    assert done.notes == (f"{tmp_path / 'run'} is not finished; only its committed phases are exported",)


def test_parquet_without_trajectories(tmp_path: Path) -> None:
    write_finished(tmp_path / "run", make_spec("episodes"))
    done = export(open_run(tmp_path / "run"), "parquet", tmp_path / "tables")
    assert list(done.rows) == [table for table in TABLES if table != "trajectories"]
    assert done.notes == (f"no trajectories: {tmp_path / 'run'} was run with --record episodes",)


def recorded_episodes(run: Run) -> list[list[dict[str, Any]]]:
    """The rows of each episode that ended, in the order of their ends."""
    episodes: dict[int, list[dict[str, Any]]] = {}
    ended = []
    for row in run.trajectories.to_table().to_pylist():
        rows = episodes.setdefault(row["episode_id"], [])
        rows.append(row)
        if row["terminated"] or row["truncated"]:
            ended.append(rows)
    return ended


def bits(rows: list[dict[str, Any]], name: str, kind: Any) -> tuple[Any, bytes]:
    column = np.array([row[name] for row in rows], kind)
    return column.shape, column.tobytes()


@pytest.mark.parametrize("name", ["cheetah", "hopper"])
def test_minari_has_the_same_steps(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(name)
    wanted = recorded_episodes(run)
    done = export(run, "minari", tmp_path)
    dataset = minari.MinariDataset(done.path / "data")
    assert done.path == tmp_path / str(done.dataset_id)
    assert len(dataset) == len(wanted) == done.rows["episodes"]
    assert dataset.total_steps == sum(map(len, wanted)) == done.rows["steps"]
    assert any(len(rows) == LONG for rows in wanted) == (name == "cheetah")
    columns = {
        "actions": ("action", np.float32),
        "rewards": ("reward", np.float32),
        "terminations": ("terminated", np.bool_),
        "truncations": ("truncated", np.bool_),
    }
    # What is about an action comes after it: the first is the reset's.
    infos: dict[str, tuple[Any, Any]] = {
        "behaviour_version": (np.int32, -1),
        "learner_version": (np.int32, -1),
        "behaviour_log_prob": (np.float32, np.nan),
    }
    for rows, episode in zip(wanted, dataset, strict=True):
        last = {"observation": rows[-1]["final_observation"]}
        assert (episode.observations.shape, episode.observations.tobytes()) == bits(
            [*rows, last], "observation", np.float64
        )
        for ours, (column, kind) in columns.items():
            values = getattr(episode, ours)
            assert values.dtype == kind
            assert (values.shape, values.tobytes()) == bits(rows, column, kind)
        assert episode.infos.keys() == infos.keys()
        for column, (kind, none) in infos.items():
            values = episode.infos[column]
            assert values.dtype == kind
            assert (values.shape, values.tobytes()) == bits([{column: none}, *rows], column, kind)
    left = run.trajectories.count_rows() - done.rows["steps"]
    assert left > 0
    assert done.notes == (f"left out: {left} steps of unfinished episodes",)


def test_minari_says_what_it_is(hopper: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what Minari itself lists, loads and recovers; and nothing is written where it was not asked for."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("MINARI_DATASETS_PATH", raising=False)
    monkeypatch.chdir(tmp_path)
    done = export(hopper, "minari", Path("datasets"))
    assert not list(home.iterdir())
    monkeypatch.setenv("MINARI_DATASETS_PATH", "datasets")
    name = "lagbench/Hopper-v5/vaco-lag2-u1-seed0-v0"
    assert list(minari.list_local_datasets()) == [name] == [done.dataset_id]
    assert minari.namespace.list_local_namespaces() == ["lagbench", "lagbench/Hopper-v5"]
    dataset = minari.load_dataset(name)
    metadata = dataset.storage.metadata
    assert metadata["algorithm_name"] == "vaco"
    assert lagbench.RunSpec.from_json(metadata["lagbench"]["spec"]) == hopper.spec
    assert metadata["lagbench"]["version"] == lagbench_version()
    env = dataset.recover_environment()
    assert env.spec == gymnasium.make("Hopper-v5").spec
    assert dataset.observation_space == env.observation_space
    assert dataset.action_space.contains(10 * env.action_space.sample())
    about = list(dataset.storage.get_episode_metadata(dataset.episode_indices))
    for mine, row in zip(about, hopper.episodes.to_table().to_pylist(), strict=True):
        assert mine["actor_seed"] == row["seed"]
        assert all(mine[key] == row[key] for key in ("episode_id", "actor", "reset", "phase"))


def lagbench_version() -> str:
    import importlib.metadata

    return importlib.metadata.version("lagbench")


def test_minari_of_a_task_with_other_options(tmp_path: Path) -> None:
    shape: dict[str, Any] = {"actors": 4, "phase_steps": 32, "minibatch": 64, "budget": 128, "eval_episodes": 1}
    run = lagbench.run(task_options={"reset_noise_scale": 0.01}, algo="ppo", updates=2, **shape, out=tmp_path / "run")
    done = export(run, "minari", tmp_path)
    assert minari.MinariDataset(done.path / "data").env_spec is None
    assert done.notes[-1] == "it has no Gymnasium environment, because the run changed options of its task"


def test_minari_wants_trajectories_and_an_end(tmp_path: Path) -> None:
    write_finished(tmp_path / "a", make_spec("episodes"))
    with pytest.raises(RecordError, match=r"has no trajectories: it was run with --record episodes"):
        export(open_run(tmp_path / "a"), "minari", tmp_path / "out")
    write_finished(tmp_path / "b", make_spec(), phases=0)
    with pytest.raises(RecordError, match="has no finished training episode"):
        export(open_run(tmp_path / "b"), "minari", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["parquet", "minari"])
def test_what_is_there_stays(to: str, hopper: Run, tmp_path: Path) -> None:
    path = export(hopper, to, tmp_path / "out").path
    (path / "mine").touch()
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}
    with pytest.raises(UsageError, match=f"{path} already exists; delete it, or give another directory with --out"):
        export(hopper, to, tmp_path / "out")
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")} == before


def test_a_file_in_the_way(hopper: Run, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        export(hopper, "parquet", tmp_path / "out")
    with pytest.raises(RecordError, match=r"^cannot write .*out"):
        export(hopper, "parquet", tmp_path / "out" / "below")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("to", ["parquet", "minari"])
def test_rows_that_were_not_recorded_are_not_exported(to: str, hopper: Run, tmp_path: Path) -> None:
    assert hopper.result is not None
    other = {**hopper.result, "content_hash": {**hopper.result["content_hash"], "trajectories": "0" * 64}}
    run = Run(hopper.path, hopper.spec, other)
    with pytest.raises(RecordError, match=r"contains changed values"):
        export(run, to, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_unknown_format(hopper: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown format 'parket'; did you mean 'parquet'\?"):
        export(hopper, "parket", tmp_path / "out")


@pytest.mark.parametrize("missing", ["minari", "h5py"])
def test_minari_is_an_extra(missing: str, hopper: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "lagbench.records.minari", raising=False)
    with pytest.raises(UsageError, match=r"^export --to minari needs an extra: pip install 'lagbench\[minari\]'$"):
        export(hopper, "minari", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_namespaces_that_are_there_stay(hopper: Run, tmp_path: Path) -> None:
    (tmp_path / "lagbench").mkdir()
    (tmp_path / "lagbench" / "namespace_metadata.json").write_text('{"description": "mine"}')
    export(hopper, "minari", tmp_path)
    assert json.loads((tmp_path / "lagbench" / "namespace_metadata.json").read_text()) == {"description": "mine"}


def test_the_documentation_runs(hopper: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINARI_DATASETS_PATH", "set again by the code")
    export(hopper, "parquet", Path("tables"))
    export(hopper, "minari", Path("datasets"))
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    scope: dict[str, Any] = {}
    # The model is loaded in tests/test_language_runs.py, from a run that has one.
    for block in re.findall(r"^```python\n(?!from transformers)(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/export.md", "exec"), scope)
    phases = hopper.phases.to_table().to_pylist()
    assert [(phase, lag) for phase, lag, _ in scope["lag"].fetchall()] == [
        (row["phase"], pytest.approx(row["backward_lag_mean"])) for row in phases
    ]
    assert len(scope["behaviour_log_prob"]) == len(scope["episode"].actions)
    assert scope["env"].spec.id == "Hopper-v5"
