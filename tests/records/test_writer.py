"""What is committed is there, exactly, whatever happens to the process afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from lagbench.actors.base import Transitions
from lagbench.errors import RecordError, UsageError
from lagbench.records import streams
from lagbench.records.checksums import sealed
from lagbench.records.reader import open_run
from lagbench.records.rows import PhaseRecord
from lagbench.records.writer import RunWriter
from lagbench.source.files import Source
from lagbench.spec import RunSpec
from tests.ends import file_size_limit
from tests.records.build import (
    PHASES,
    SIZES,
    TABLES,
    finish,
    make_record,
    make_spec,
    write,
    write_finished,
)

ROOT = Path(__file__).parents[2]


def table(path: Path, name: str) -> Any:
    return getattr(open_run(path), name).to_table()


def plain_rows(directory: Path) -> int:
    """Rows of a table's shards as pyarrow alone reads them, each to its last whole batch."""
    rows = 0
    for shard in sorted(directory.glob("*.arrows")):
        with contextlib.suppress(pa.ArrowInvalid, OSError), pa.OSFile(str(shard)) as source:
            for batch in pa.ipc.open_stream(source):
                rows += batch.num_rows
    return rows


def rows_of(name: str, record: PhaseRecord) -> int:
    return {
        "trajectories": len(record.transitions.columns["step"]),
        "episodes": len(record.episodes),
        "evaluations": sum(len(e.episodes) for e in record.evaluations),
        "phases": 1,
    }[name]


def expected(name: str, phases: int) -> list[dict[str, Any]]:
    """The rows of a table, from what was handed to the writer."""
    rows = {"trajectories": transitions, "episodes": episodes, "evaluations": played, "phases": one_phase}[name]
    return [row for phase in range(phases) for row in rows(make_record(phase))]


def transitions(record: PhaseRecord) -> Iterator[dict[str, Any]]:
    columns, ends = record.transitions.columns, record.transitions.ends
    final = dict(zip(ends.tolist(), record.transitions.final_observation.tolist(), strict=True))
    for i in range(len(columns["step"])):
        yield {**{name: column[i].tolist() for name, column in columns.items()}, "final_observation": final.get(i)}


def episodes(record: PhaseRecord) -> Iterator[dict[str, Any]]:
    for e in record.episodes:
        yield {**vars(e), "return": e.episode_return}


def played(record: PhaseRecord) -> Iterator[dict[str, Any]]:
    for evaluation in record.evaluations:
        for j, e in enumerate(evaluation.episodes):
            yield {
                **vars(evaluation),
                "evaluation": evaluation.index,
                "fractions": list(evaluation.fractions),
                "episode": j,
                "seed": e.seed,
                "return": e.episode_return,
                "length": e.length,
                "terminated": e.terminated,
                "truncated": e.truncated,
                "action": e.action.tolist(),
                "reward": e.reward.tolist(),
                "observation": e.observation.tolist(),
            }


def one_phase(record: PhaseRecord) -> Iterator[dict[str, Any]]:
    yield {
        **vars(record),
        "updates": record.updates_made,
        **record.diagnostics,
        **{f"seconds_{what}": value for what, value in record.seconds.items()},
        "versions": record.versions.tolist(),
        "metrics": sorted(record.metrics.items()),
    }


@pytest.mark.parametrize("finished", [True, False])
def test_values_come_back_exactly(tmp_path: Path, finished: bool) -> None:
    writer = write(tmp_path / "run", make_spec(), map(make_record, range(PHASES)))
    if finished:
        finish(writer)
    writer.close()
    for name in TABLES:
        got = table(tmp_path / "run", name).to_pylist()
        # repr: of numbers exact, and NaN is like NaN.
        assert [{k: repr(v) for k, v in row.items()} for row in got] == [
            {k: repr(row[k]) for k in got[0]} for row in expected(name, PHASES)
        ], name


def test_the_layout_of_arrays_does_not_matter(tmp_path: Path) -> None:
    """Columns in Fortran order, and wider than theirs: the values count."""
    record = make_record(0)
    columns = dict(record.transitions.columns)
    columns["observation"] = np.asfortranarray(columns["observation"])
    columns["step"] = columns["step"].astype(np.int64)
    changed = dataclasses.replace(record, transitions=dataclasses.replace(record.transitions, columns=columns))
    first = finish(write(tmp_path / "a", make_spec(), [record]))
    assert finish(write(tmp_path / "b", make_spec(), [changed]))["content_hash"] == first["content_hash"]


def test_rows_that_do_not_fit_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    record = make_record(0)
    columns, ends, final = vars(record.transitions).values()
    short = columns["reward"][:-1]
    bad: list[dict[str, Any]] = [
        {"transitions": Transitions({**columns, "reward": short}, ends, final)},
        {"transitions": Transitions({**columns, "extra": columns["reward"]}, ends, final)},
        {"transitions": Transitions({**columns, "step": columns["observation"]}, ends, final)},
        {"transitions": Transitions({**columns, "action": columns["observation"]}, ends, final)},
        {"transitions": Transitions({**columns, "step": columns["episode_id"] + 2**40}, ends, final)},
        {"transitions": Transitions({**columns, "terminated": columns["reward"]}, ends, final)},
        {"transitions": Transitions(columns, ends[1:], final)},
        {"transitions": Transitions(columns, ends[::-1], final)},
        {"diagnostics": {"unheard_of": 1.0}},
    ]
    with write(tmp_path / "run", make_spec(), [record]) as writer:
        for changes in bad:
            with pytest.raises(RecordError, match="rows of phase 0 do not fit"):
                writer.commit(dataclasses.replace(record, **changes))
        writer.commit(make_record(1))
        assert set(writer.committed().values()) == {2}
    assert table(tmp_path / "run", "phases")["phase"].to_pylist() == [0, 1]


def test_diagnostics_not_measured_are_null(tmp_path: Path) -> None:
    write(tmp_path / "run", make_spec(), [dataclasses.replace(make_record(0), diagnostics={"tv": 0.5})]).close()
    (row,) = table(tmp_path / "run", "phases").to_pylist()
    assert (row["tv"], row["explained_variance"]) == (0.5, None)


def test_episodes_only(tmp_path: Path) -> None:
    path, full = tmp_path / "run", tmp_path / "full"
    result = write_finished(path, make_spec("episodes"))
    other = write_finished(full, make_spec())
    assert not (path / "trajectories").exists()
    assert result["content_hash"].keys() == {"episodes", "evaluations", "phases"}
    assert result["content_hash"]["episodes"] == other["content_hash"]["episodes"]
    assert table(path, "evaluations")["observation"].null_count == result["rows"]["evaluations"] > 0
    columns = ["seed", "action", "reward"]
    assert table(path, "evaluations").select(columns).equals(table(full, "evaluations").select(columns))
    with pytest.raises(RecordError, match="--record episodes"):
        open_run(path).trajectories  # noqa: B018


def test_committed_rows_can_be_read_while_the_writer_is_open(tmp_path: Path) -> None:
    path = tmp_path / "run"
    writer = RunWriter.create(path, make_spec(), **SIZES)
    total = dict.fromkeys(TABLES, 0)
    for phase in range(PHASES):
        writer.commit(make_record(phase))
        for name in TABLES:
            total[name] += rows_of(name, make_record(phase))
            assert plain_rows(path / name) == total[name]
            assert table(path, name).num_rows == total[name]
    writer.close()
    # Closed streams end with a marker: pyarrow reads them without complaint.
    for name in TABLES:
        with pa.OSFile(str(path / name / "00000.arrows")) as source:
            assert pa.ipc.open_stream(source).read_all().num_rows == total[name]
        assert (path / name / "00000.arrows").read_bytes().endswith(b"\xff\xff\xff\xff\x00\x00\x00\x00")


@pytest.mark.parametrize("torn", TABLES)
def test_a_torn_batch_takes_no_committed_row_with_it(tmp_path: Path, torn: str) -> None:
    """Cut within the last batch of one table, as a kill would; those written before it are whole."""
    spec, whole = make_spec(), tmp_path / "whole"
    writer = write(whole, spec, map(make_record, range(4)))
    committed, before = writer.committed(), {t: (whole / t / "00000.arrows").stat().st_size for t in TABLES}
    writer.commit(make_record(4))
    reference = {t: expected(t, 4) for t in TABLES}
    end = (whole / torn / "00000.arrows").stat().st_size
    for size in (before[torn], before[torn] + 3, (before[torn] + end) // 2, end - 1):
        path = tmp_path / f"torn{size}"
        shutil.copytree(whole, path)
        with (path / torn / "00000.arrows").open("r+b") as file:
            file.truncate(size)
        assert plain_rows(path / torn) == len(reference[torn])
        assert {t: table(path, t).num_rows for t in TABLES} == {t: len(reference[t]) for t in TABLES}
        with RunWriter.reopen(path, spec, committed=committed, **SIZES) as again:
            again.commit(make_record(4))
        shards = [(path / torn / f"0000{i}.arrows") for i in (0, 1)]
        assert plain_rows(path / torn) == len(expected(torn, 5))
        assert [streams.sums_file(s).stat().st_size // 26 - 1 for s in shards] == [4, 1]
        shutil.rmtree(path)
    writer.close()


def test_reopen_keeps_exactly_what_was_committed(tmp_path: Path) -> None:
    """Several resumes, some of checkpoints that are behind, one of none: the run ends as one that was left alone."""
    spec, path = make_spec(), tmp_path / "run"
    alone = write_finished(tmp_path / "alone", spec)

    def nothing_left_over() -> None:
        assert not list(path.glob("**/*.tmp"))

    write(path, spec, map(make_record, range(3))).close()
    for kept, until in [(0, 2), (2, 2), (1, 5), (4, 4), (3, 4), (4, PHASES), (5, PHASES)]:
        with RunWriter.reopen(path, spec, committed=dict.fromkeys(TABLES, kept), **SIZES) as writer:
            assert set(writer.committed().values()) == {kept}
            assert table(path, "phases")["phase"].to_pylist() == list(range(kept))
            for phase in range(kept, until):
                writer.commit(make_record(phase))
        assert table(path, "phases")["phase"].to_pylist() == list(range(until))
        nothing_left_over()
    again = RunWriter.reopen(path, spec, committed=dict.fromkeys(TABLES, PHASES), **SIZES)
    assert finish(again) == alone
    assert {f.name for f in path.iterdir()} == {f.name for f in (tmp_path / "alone").iterdir()}
    assert len(json.loads((path / "environment.json").read_text())) == 9


def test_reopen_without_a_checkpoint_begins_again(tmp_path: Path) -> None:
    spec, path = make_spec(), tmp_path / "run"
    write(path, spec, map(make_record, range(3))).close()
    shutil.rmtree(path / "episodes")  # killed before it made this one
    with RunWriter.reopen(path, spec, committed={}, **SIZES) as writer:
        assert set(writer.committed().values()) == {0}
        writer.commit(make_record(0))
    assert table(path, "phases").num_rows == 1


def test_reopen_refuses_what_it_cannot_go_on_with(tmp_path: Path) -> None:
    spec, path = make_spec(), tmp_path / "run"
    write(path, spec, map(make_record, range(3))).close()
    three, names = dict.fromkeys(TABLES, 3), "|".join(TABLES)

    def reopen(spec: RunSpec = spec, committed: dict[str, int] = three, **sizes: Any) -> None:
        RunWriter.reopen(path, spec, committed=committed, **{**SIZES, **sizes})

    with pytest.raises(UsageError, match=r'spec\.json is not .* \(seed is 1, was 0; task is "Ant-v5", was "Hopper-v5"'):
        reopen(make_spec(seed=1, task="Ant-v5"))
    with pytest.raises(RecordError, match=f"({names}) contains only 3 of the 4 committed phases"):
        reopen(committed=dict.fromkeys(TABLES, 4))
    with pytest.raises(RecordError, match="does not fit its tables"):
        reopen(committed={**three, "phases": 2})
    with pytest.raises(RecordError, match="has other columns than this lagbench writes"):
        reopen(diagnostics=("tv", "kl"))
    with pytest.raises(RecordError, match="is not a run directory"):
        RunWriter.reopen(tmp_path, spec, committed=three, **SIZES)
    (path / "phases" / "00001.arrows").write_bytes((path / "phases" / "00000.arrows").read_bytes())
    (path / "phases" / "00000.arrows").unlink()
    with pytest.raises(RecordError, match=r"phases/00000\.arrows is missing"):
        reopen()
    # None of them harmed a row.
    (path / "phases" / "00001.arrows").rename(path / "phases" / "00000.arrows")
    assert {t: table(path, t).num_rows for t in TABLES} == {t: len(expected(t, 3)) for t in TABLES}
    shard = (path / "phases" / "00000.arrows").read_bytes()
    finish(RunWriter.reopen(path, spec, committed=three, **SIZES))
    (path / "phases" / "00000.arrows").write_bytes(shard)  # as after a kill just before it would have gone
    assert open_run(path).phases.count_rows() == 3
    with pytest.raises(UsageError, match="is finished"):
        reopen()
    assert not (path / "phases" / "00000.arrows").exists()


def test_a_directory_with_a_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    path.mkdir(parents=True)
    (path / "notes.txt").write_text("mine")  # not a run
    writer = write(path, make_spec(), [make_record(0)])
    before = {f: f.read_bytes() for f in path.glob("**/*") if f.is_file()}
    for _ in ("open", "closed"):
        with pytest.raises(UsageError, match="already contains a run"):
            RunWriter.create(path, make_spec(), **SIZES)
        assert {f: f.read_bytes() for f in before} == before
        writer.close()
        before = {f: f.read_bytes() for f in path.glob("**/*") if f.is_file()}
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot write .*file"):
        RunWriter.create(tmp_path / "file", make_spec(), **SIZES)


SOURCE = Source("mine.py", {"mine.py": b"import a.b", "a/b.py": b""})


def test_a_source_is_copied_before_the_specification(tmp_path: Path) -> None:
    path = tmp_path / "run"
    RunWriter.create(path, make_spec(), {"source": SOURCE}, **SIZES).close()
    copy = path / "source"
    assert {f.relative_to(copy).as_posix(): f.read_bytes() for f in copy.rglob("*.py")} == SOURCE.files
    # As after a kill between the two, and before the first.
    (path / "spec.json").rename(tmp_path / "spec.json")
    for table in TABLES:
        shutil.rmtree(path / table, ignore_errors=True)
    (path / "source.tmp").mkdir()
    RunWriter.create(path, make_spec(), {"source": SOURCE}, **SIZES).close()
    RunWriter.reopen(path, make_spec(), committed={}, **SIZES).close()
    assert not (path / "source.tmp").exists()


def test_what_is_no_copy_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run"
    (path / "source").mkdir(parents=True)
    (path / "source/mine.py").write_text("mine")
    with pytest.raises(
        UsageError,
        match=r"run/source, where a run stores its source, already exists; give another "
        "dir",
    ):
        RunWriter.create(path, make_spec(), {"source": SOURCE}, **SIZES)
    assert {f.name for f in path.rglob("*")} == {".lock", "source", "mine.py"}
    assert (path / "source/mine.py").read_text() == "mine"
    RunWriter.create(path, make_spec(), **SIZES).close()


CHILD = """
import sys, time
from pathlib import Path
from tests.records.build import make_record, make_spec, write
writer = write(Path(sys.argv[1]), make_spec(), map(make_record, range(3)))
print("written", flush=True)
time.sleep(60)
"""


def test_a_run_that_could_not_begin_is_no_run(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with file_size_limit(1500), pytest.raises(RecordError, match=r"cannot write .*, then try again"):
        RunWriter.create(path, make_spec(), {"source": SOURCE}, **SIZES)
    assert {f.name for f in path.iterdir()} == {".lock"}
    RunWriter.create(path, make_spec(), **SIZES).close()


def test_one_process_writes_and_its_kill_loses_nothing(tmp_path: Path) -> None:
    path, spec = tmp_path / "run", make_spec()
    with subprocess.Popen([sys.executable, "-c", CHILD, path], cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "written\n"
        with pytest.raises(RecordError, match="another process is writing the run"):
            RunWriter.reopen(path, spec, committed=dict.fromkeys(TABLES, 3), **SIZES)
        child.kill()
        child.wait()
    for name in TABLES:
        assert plain_rows(path / name) == len(expected(name, 3))
    with RunWriter.reopen(path, spec, committed=dict.fromkeys(TABLES, 3), **SIZES) as writer:
        writer.commit(make_record(3))
    assert table(path, "phases").num_rows == 4


def test_a_write_that_fails_leaves_what_was_committed(tmp_path: Path) -> None:
    spec, path = make_spec(), tmp_path / "run"
    writer = write(path, spec, map(make_record, range(2)))
    shard = path / "trajectories" / "00000.arrows"
    sizes = {t: (path / t / "00000.arrows").stat().st_size for t in TABLES}
    with file_size_limit(shard.stat().st_size + 1000), pytest.raises(RecordError) as caught:
        writer.commit(make_record(1))
    assert str(shard) in str(caught.value)
    assert f"lagbench resume {path}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert set(writer.committed().values()) == {2}
    # The marker of the end, and nothing of the phase that failed, not in the other tables either.
    assert {t: (path / t / "00000.arrows").stat().st_size - 8 for t in TABLES} == sizes
    with pytest.raises(RecordError, match="closed"):
        writer.commit(make_record(2))
    with RunWriter.reopen(path, spec, committed=writer.committed(), **SIZES) as again:
        again.commit(make_record(2))
    assert [table(path, t).num_rows for t in TABLES] == [len(expected(t, 3)) for t in TABLES]


def test_no_room_for_the_marker(tmp_path: Path) -> None:
    writer = write(tmp_path / "run", make_spec(), map(make_record, range(2)))
    shard = tmp_path / "run" / "trajectories" / "00000.arrows"
    with file_size_limit(shard.stat().st_size + 3):
        writer.close()
    with pa.OSFile(str(shard)) as source:
        assert pa.ipc.open_stream(source).read_all().num_rows == len(expected("trajectories", 2))


@pytest.mark.parametrize("step", ["policy", "merge", "result"])
def test_finishing_is_all_or_nothing(tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, path = make_spec(), tmp_path / "run"
    alone = write_finished(tmp_path / "alone", spec)
    writer = write(path, spec, map(make_record, range(PHASES)))

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    target = {"policy": "safetensors.torch.save", "merge": "lagbench.records.streams.read"}
    with monkeypatch.context() as patch:
        if step == "result":
            patch.setattr("lagbench.records.writer.write_json", fail)
        else:
            patch.setattr(target[step], fail)
        with pytest.raises(RecordError, match=r"No space left on device\); free some space"):
            finish(writer)
    assert not (path / "result.json").exists()
    assert open_run(path).status == "unfinished"
    assert table(path, "trajectories").num_rows == alone["rows"]["trajectories"]
    assert finish(RunWriter.reopen(path, spec, committed=writer.committed(), **SIZES)) == alone


def test_a_table_that_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    writer = write(tmp_path / "run", make_spec(), map(make_record, range(PHASES)))
    with file_size_limit(8000), pytest.raises(RecordError, match=r"cannot write .*File too large"):
        writer.finish("completed", {}, {"x": torch.ones(1)})
    assert not list(tmp_path.glob("**/data.arrow*"))
    assert table(tmp_path / "run", "trajectories").num_rows == len(expected("trajectories", PHASES))


def test_a_finished_run_is_whole(tmp_path: Path) -> None:
    spec, path = make_spec(), tmp_path / "run"
    result = write_finished(path, spec)
    assert {str(f.relative_to(path)) for f in path.glob("**/*") if f.is_file()} == {
        "spec.json",
        "environment.json",
        "policy.safetensors",
        "result.json",
        *(f"{t}/data.arrow" for t in TABLES),
    }
    assert result == json.loads((path / "result.json").read_text())
    assert result["rows"] == {t: len(expected(t, PHASES)) for t in TABLES}
    assert RunSpec.load(path / "spec.json") == spec
    for name in TABLES:
        with pa.memory_map(str(path / name / "data.arrow")) as source:
            reader = pa.ipc.open_file(source)
            assert reader.num_record_batches == 1  # small ones were joined
            assert reader.schema.metadata[b"table"] == name.encode()
            assert json.loads(reader.schema.metadata[b"protocol"]) == spec.protocol.to_json()


def test_numbers_that_json_lacks_are_null(tmp_path: Path) -> None:
    summary = {"last": float("nan"), "all": (1.0, float("inf")), "path": "x"}
    result = finish(write(tmp_path / "run", make_spec(), [make_record(0)]), summary)
    assert result["summary"] == {"last": None, "all": [1.0, None], "path": "x"}


def test_environment_says_what_holds(tmp_path: Path) -> None:
    path, spec = tmp_path / "run", make_spec()
    RunWriter.create(path, spec, **SIZES, threads=3).close()
    file = path / "environment.json"
    (entry,) = json.loads(file.read_text())
    assert entry["packages"]["pyarrow"] == pa.__version__
    assert entry["envpool_threads"] == 3
    assert entry["determinism"].startswith("exact")
    entry["packages"]["envpool"] = "0.0.1"
    file.write_text(json.dumps([entry]))
    with pytest.raises(RecordError, match=r"environment\.json is damaged"):
        RunWriter.reopen(path, spec, committed={}, **SIZES)
    file.write_text(json.dumps([sealed(entry)]))
    RunWriter.reopen(path, spec, committed={}, **SIZES).close()
    assert json.loads(file.read_text())[1]["determinism"].startswith("statistical: resumed with other packages")
    RunWriter.create(tmp_path / "cuda", make_spec(device="cuda"), **SIZES).close()
    (entry,) = json.loads((tmp_path / "cuda" / "environment.json").read_text())
    assert entry["determinism"].startswith("statistical: on another device")


def test_memory_does_not_grow(tmp_path: Path) -> None:
    record = make_record(0, rows=500)
    tracemalloc.start()
    try:
        with write(tmp_path / "run", make_spec(), [record] * 50) as writer:
            held, arrow = tracemalloc.get_traced_memory()[0], pa.total_allocated_bytes()
            for _ in range(150):
                writer.commit(record)
            assert pa.total_allocated_bytes() <= arrow
            assert tracemalloc.get_traced_memory()[0] - held < 10_000
    finally:
        tracemalloc.stop()
