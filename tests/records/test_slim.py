"""A slim run: still a run, with the content hashes of the one that it was made from, and without its steps."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import lagbench
from lagbench.errors import RecordError, UsageError
from lagbench.records.export import export
from lagbench.records.replay import replay
from tests.records.build import make_spec, write_finished


@pytest.fixture(scope="module", params=["trajectories", "episodes"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> lagbench.Run:
    path = tmp_path_factory.mktemp("slim") / "run"
    write_finished(path, make_spec(request.param))
    return lagbench.open(path)


@pytest.fixture(scope="module")
def slim(run: lagbench.Run) -> lagbench.Run:
    return lagbench.open(export(run, "slim", run.path.with_name("slim")).path)


def test_it_proves_the_content_hashes_of_the_run(run: lagbench.Run, slim: lagbench.Run) -> None:
    slim.verify()
    assert slim.result == run.result
    assert slim.content_hash() == run.content_hash()


def test_all_but_the_steps_is_there(run: lagbench.Run, slim: lagbench.Run) -> None:
    assert slim.spec == run.spec
    assert slim.environment == run.environment
    assert slim.curve() == run.curve()
    kept = slim.evaluations.to_table()
    assert kept.equals(run.evaluations.to_table(columns=kept.column_names))
    assert set(run.evaluations.schema.names) - set(kept.column_names) == {"action", "reward", "observation"}
    theirs = dict(run.policy().state_dict())
    assert all(value.equal(theirs[name]) for name, value in slim.policy().state_dict().items())


def test_it_is_small(run: lagbench.Run, slim: lagbench.Run) -> None:
    def size(of: lagbench.Run) -> int:
        return sum(file.stat().st_size for file in of.path.rglob("*") if file.name != "policy.safetensors")

    assert size(slim) < size(run)


@pytest.mark.parametrize(
    "use", [lagbench.Run.evaluation_episodes, replay, lambda r: export(r, "minari", r.path.with_name("minari"))]
)
def test_what_takes_steps_says_what_it_is(slim: lagbench.Run, use: Callable[[lagbench.Run], Any]) -> None:
    without_trajectories = slim.spec.record == "episodes"
    with pytest.raises(RecordError) as refused:
        use(slim)
    assert "is a slim copy, without single steps; use the original run" in str(refused.value) or (
        without_trajectories and "--record episodes" in str(refused.value)
    )


def test_a_value_altered_in_it_is_found(slim: lagbench.Run, tmp_path: Path) -> None:
    shutil.copytree(slim.path, tmp_path / "run")
    file = tmp_path / "run" / "evaluations" / "data.arrow"
    table = pa.ipc.open_file(file.read_bytes()).read_all()
    place = table.column_names.index("return")
    better = pa.array([value + 1 for value in table["return"].to_pylist()])
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_table(table.set_column(place, table.schema.field(place), better))
    with pytest.raises(RecordError, match="its content hash is not the one"):
        lagbench.open(tmp_path / "run").verify()


def test_it_can_be_made_slim_again(slim: lagbench.Run, tmp_path: Path) -> None:
    again = lagbench.open(export(slim, "slim", tmp_path / "again").path)
    again.verify()
    assert again.evaluations.to_table().equals(slim.evaluations.to_table())


def test_nothing_is_written_over(run: lagbench.Run, slim: lagbench.Run) -> None:
    with pytest.raises(UsageError, match="already exists"):
        export(run, "slim", slim.path)
