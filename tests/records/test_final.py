"""final.arrow: the final evaluation's episodes of a run, as they were, without what a replay makes again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import lagbench
from lagbench.errors import RecordError
from lagbench.records import final
from lagbench.records.export import export
from lagbench.records.schema import TABLES
from lagbench.records.slim import write as write_slim


@pytest.fixture(scope="module", params=["trajectories", "episodes"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> lagbench.Run:
    cell = {"suite": "TESTING", "task": "Hopper-v5", "lag": 2, "algo": "ppo", "record": request.param}
    return lagbench.run(out=tmp_path_factory.mktemp("final") / "run", **cell)


def test_the_episodes_are_those_of_the_run(run: lagbench.Run, tmp_path: Path) -> None:
    file = tmp_path / final.FILE
    assert final.expected(run)
    assert final.write(run, file) == run.spec.evaluation.episodes
    wanted = [e for e in run.evaluation_episodes() if e.version == run.spec.phases and e.mode == "stochastic"]
    found = list(final.episodes(run, file))
    assert len(found) == len(wanted) == 3
    for own, recorded in zip(found, wanted, strict=True):
        assert own.name == recorded.name
        assert (own.seed, own.fractions, own.budget_used) == (recorded.seed, recorded.fractions, recorded.budget_used)
        assert (own.episode_return, own.length) == (recorded.episode_return, recorded.length)
        assert (own.terminated, own.truncated) == (recorded.terminated, recorded.truncated)
        assert own.observation is None
        assert own.action.tobytes() == recorded.action.tobytes()
        assert own.reward.tobytes() == recorded.reward.tobytes()


def test_its_columns_are_those_of_evaluations(run: lagbench.Run, tmp_path: Path) -> None:
    file = tmp_path / final.FILE
    final.write(run, file)
    schema = pa.ipc.open_file(str(file)).schema
    evaluations = run.schema("evaluations")
    assert schema.names == [name for name in evaluations.names if name != "observation"]
    assert schema.metadata[b"table"] == b"final"
    for key in (b"spec", b"protocol", b"task", b"format_version"):
        assert schema.metadata[key] == evaluations.metadata[key]
    first = file.read_bytes()
    final.write(run, file)
    assert file.read_bytes() == first


def test_a_slim_run_has_none_to_give(run: lagbench.Run, tmp_path: Path) -> None:
    slim = lagbench.open(export(run, "slim", tmp_path / "slim").path)
    with pytest.raises(RecordError, match="is a slim copy"):
        final.write(slim, tmp_path / final.FILE)
    assert not (tmp_path / final.FILE).exists()
    # It can be read beside one.
    final.write(run, tmp_path / final.FILE)
    assert len(list(final.episodes(slim, tmp_path / final.FILE))) == 3


def test_another_table_is_not_it(run: lagbench.Run, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="is not the table 'final'"):
        list(final.episodes(run, run.path / "evaluations/data.arrow"))
    (tmp_path / final.FILE).write_bytes(b"")
    with pytest.raises(RecordError, match="cannot be read"):
        list(final.batches(tmp_path / final.FILE))


def test_of_a_bare_table_the_hash_is_kept(run: lagbench.Run, tmp_path: Path) -> None:
    done = write_slim(run, tmp_path / "bare", lambda done, total: None, ("episodes", "trajectories"))
    slim = lagbench.open(done.path)
    slim.verify()
    assert slim.content_hash() == run.content_hash()
    assert done.rows["episodes"] == run.episodes.count_rows() > 0
    kept = {table for table in TABLES if (slim.path / table).is_dir() and slim.schema(table).names}
    assert kept == {"evaluations", "phases"}
    assert (slim.path / "episodes/data.arrow").stat().st_size < 10_000
