"""What a cell's directory says has become of it, whatever lies there."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from lagbench.errors import LagbenchError, UsageError
from lagbench.records.checksums import sealed
from lagbench.records.reader import open_run
from lagbench.source.algorithms import AlgorithmSource, InstalledAlgorithm
from lagbench.sweep.cells import Planned, State, go_on, look, survey
from tests.cli.run_here import ALGORITHMS, content_hash
from tests.ends import interrupt
from tests.sweep.conftest import small


@pytest.fixture
def cell(finished: Planned, tmp_path: Path) -> Planned:
    """A copy of the finished one, to be damaged."""
    path = tmp_path / "cell"
    shutil.copytree(finished.path, path)
    return Planned(finished.spec, path)


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(ALGORITHMS)
    return str(tmp_path / "mine.py")


def test_a_finished_cell(finished: Planned) -> None:
    state = look(finished)
    final = open_run(finished.path).summary["final"]["stochastic"]
    assert state == State("completed", score=final["mean"], error=final["standard_error"])
    assert state.is_over
    assert not state.is_failure


def test_nothing_there_yet(tmp_path: Path) -> None:
    (cell,) = small(tmp_path)
    assert look(cell) == State("missing")
    cell.path.mkdir(parents=True)
    (cell.path / ".lock").touch()
    assert look(cell) == State("missing")
    assert not look(cell).is_over


def test_one_that_was_cut_off_is_resumed(finished: Planned, tmp_path: Path) -> None:
    (cell,) = small(tmp_path)
    interrupt(cell.spec, cell.path)
    assert look(cell) == State("unfinished")
    go_on(cell.spec, cell.path, threads=1, sinks=[])
    assert content_hash(cell.path) == content_hash(finished.path)
    before = (cell.path / "environment.json").read_bytes()
    go_on(cell.spec, cell.path, threads=1, sinks=[])
    assert (cell.path / "environment.json").read_bytes() == before


def test_another_run_is_not_touched(cell: Planned) -> None:
    other = Planned(dataclasses.replace(cell.spec, seed=7, budget=640), cell.path)
    sentence = f"{cell.path} holds another run: budget is 640, was 320; seed is 7, was 0"
    assert look(other) == State("other", sentence)
    with pytest.raises(UsageError, match="holds another run: budget is 640, was 320; seed is 7, was 0; sweep into"):
        survey([cell, other])
    with pytest.raises(UsageError, match=r"was 0 \(and 1 more\); sweep into another directory"):
        survey([other, dataclasses.replace(other)])
    with pytest.raises(LagbenchError):
        go_on(other.spec, other.path, threads=1, sinks=[])
    assert look(cell).status == "completed"


def test_an_algorithm_that_was_changed_is_another(own: str, tmp_path: Path) -> None:
    (cell,) = small(tmp_path, algo=f"{own}:Mine")
    go_on(cell.spec, cell.path, threads=1, sinks=[])
    Path(own).write_text(ALGORITHMS + "\n# better\n")
    (changed,) = small(tmp_path, algo=f"{own}:Mine")
    name = cell.spec.algorithm.name
    assert look(changed).reason == f"{cell.path} holds another run: the source of {name} has changed since"


def test_an_installed_algorithm_of_another_version_is_another(cell: Planned) -> None:
    """But not where the run's specification, of the former format, does not say of which version it is."""
    other = dataclasses.replace(cell.spec, algorithm=InstalledAlgorithm("ppo", "lagbench", "9.9"))
    now = f"ppo is from lagbench 9.9, but was from {cell.spec.algorithm.source}"
    assert look(Planned(other, cell.path)).reason == f"{cell.path} holds another run: {now}"
    begun = dataclasses.replace(cell.spec, algorithm=AlgorithmSource("ppo", "0" * 64))
    former = Planned(begun, cell.path.with_name("former"))
    go_on(former.spec, former.path, threads=1, sinks=[])
    assert look(Planned(other, former.path)).status == "completed"


def test_a_directory_of_another_version_is_said_to_be_one(cell: Planned) -> None:
    file = cell.path / "spec.json"
    data = json.loads(file.read_text())
    cases = {
        "the specification has format 3; this lagbench reads up to 2": {**data, "format_version": 3},
        "unknown field in the specification 'gravity'": {**data, "gravity": 9.81},
        "this is not a run specification": [],
    }
    for says, content in cases.items():
        file.write_text(json.dumps(content))
        check_unusable(cell, says)


def test_half_a_run_is_said_to_be_one(cell: Planned) -> None:
    (cell.path / "spec.json").write_text('{"format_version": 1, "ta')
    check_unusable(cell, "Unterminated string")
    (cell.path / "spec.json").unlink()
    check_unusable(cell, "has tables of a run but no spec.json")


def test_a_result_of_another_version_is_said_to_be_one(cell: Planned) -> None:
    (cell.path / "result.json").write_text('{"format_version": 99}')
    check_unusable(cell, "has format 99; this lagbench reads up to 2")
    (cell.path / "result.json").write_text("{}")
    check_unusable(cell, "result.json cannot be read")


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "[]",
        json.dumps(sealed({"format_version": 2, "status": "completed", "summary": {}})),
        json.dumps(sealed({"format_version": 2, "status": "completed", "summary": []})),
        json.dumps(
            sealed(
                {
                    "format_version": 2,
                    "status": "completed",
                    "summary": {"final": {"stochastic": {"mean": "\x1b[2J"}}},
                }
            )
        ),
    ],
)
def test_whatever_a_program_wrote_in_its_place_is_no_result(cell: Planned, content: str) -> None:
    """It has all checksums, and stops nobody who looks."""
    (cell.path / "result.json").write_text(content)
    check_unusable(cell, "")
    assert look(cell).reason.isprintable()
    (cell.path / "spec.json").write_text(content)
    check_unusable(cell, "")


def check_unusable(cell: Planned, says: str) -> None:
    before = {file: file.read_bytes() for file in cell.path.rglob("*") if file.is_file()}
    state = look(cell)
    assert state.status == "unusable"
    assert says in state.reason
    assert state.reason.endswith(f"; move {cell.path} away to run it again")
    assert "\n" not in state.reason
    assert state.is_over
    assert state.is_failure
    with pytest.raises(UsageError):
        go_on(cell.spec, cell.path, threads=1, sinks=[])
    assert {file: file.read_bytes() for file in cell.path.rglob("*") if file.is_file()} == before
