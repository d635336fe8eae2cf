"""Shards and their sums: what a kill can leave is read, what it cannot is refused by name."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lagbench.errors import RecordError
from lagbench.records import envelope, streams
from lagbench.records.files import CHECKPOINT_FILE
from lagbench.records.reader import open_run
from lagbench.records.writer import RunWriter
from tests.records.build import SIZES, TABLES, make_record, make_spec, write

SUM = 26  # bytes of a line of sums


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three phases in a first shard, two in a second."""
    path = tmp_path / "run"
    write(path, make_spec(), map(make_record, range(3))).close()
    with RunWriter.reopen(path, make_spec(), committed=dict.fromkeys(TABLES, 3), **SIZES) as writer:
        for phase in (3, 4):
            writer.commit(make_record(phase))
    return path


def phases(path: Path) -> list[int]:
    found: list[int] = open_run(path).phases.to_table()["phase"].to_pylist()
    return found


def cut(file: Path, size: int) -> None:
    """To a size, from the end where it is negative."""
    with file.open("r+b") as out:
        out.truncate(size if size >= 0 else file.stat().st_size + size)


def ends(shard: Path) -> list[int]:
    """The byte at which each message of a shard ends, as its sums say."""
    return [int(line.split()[0], 16) for line in streams.sums_file(shard).read_bytes().splitlines()]


def test_sums_tell_of_every_message(run: Path) -> None:
    for table in TABLES:
        for number, messages in ((0, 4), (1, 3)):
            shard = run / table / streams.shard_name(number)
            assert streams.sums_file(shard).stat().st_size == messages * SUM
            assert shard.stat().st_size == ends(shard)[messages - 1] + 8  # the marker of the end


@pytest.mark.parametrize("torn", [1, 12, 25])
def test_a_kill_while_a_sum_is_written(run: Path, torn: int) -> None:
    """The sum comes first: there is nothing yet of its batch, in no table after this one either."""
    for table in TABLES:
        shard = run / table / "00001.arrows"
        cut(shard, ends(shard)[1])
        cut(streams.sums_file(shard), 2 * SUM + (torn if table == "trajectories" else 0))
    assert phases(run) == [0, 1, 2, 3]
    with RunWriter.reopen(run, make_spec(), committed=dict.fromkeys(TABLES, 4), **SIZES) as writer:
        writer.commit(make_record(4))
    assert phases(run) == [0, 1, 2, 3, 4]
    assert streams.sums_file(run / "trajectories" / "00001.arrows").stat().st_size == 2 * SUM


def test_a_kill_between_a_shard_and_its_sums(run: Path) -> None:
    """As when a resume has only begun to make its shards."""
    (run / "trajectories" / "00002.arrows").touch()
    assert phases(run) == [0, 1, 2, 3, 4]
    (run / "trajectories" / "00002.sums").touch()
    assert phases(run) == [0, 1, 2, 3, 4]
    RunWriter.reopen(run, make_spec(), committed=dict.fromkeys(TABLES, 5), **SIZES).close()
    assert phases(run) == [0, 1, 2, 3, 4]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", [*range(7), 23])  # changes of one table, and the last of all
def test_a_kill_while_a_resume_cuts(run: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every change of a file; the next resume goes on as if there had been none."""
    left = after

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return function(*arguments, **options)

        return call

    two = dict.fromkeys(TABLES, 2)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", counted(Path.unlink))
        patch.setattr(streams, "_rewrite", counted(streams._rewrite))
        with contextlib.suppress(Killed):
            RunWriter.reopen(run, make_spec(), committed=two, **SIZES).close()
    with RunWriter.reopen(run, make_spec(), committed=two, **SIZES) as writer:
        assert phases(run) == [0, 1]
        writer.commit(make_record(2))
    assert phases(run) == [0, 1, 2]


def delete_shard(path: Path) -> None:
    for end in ("arrows", "sums"):
        (path / "phases" / f"00001.{end}").unlink()


def take_anothers_shard(path: Path) -> None:
    for end in ("arrows", "sums"):
        shutil.copy(other(path) / "phases" / f"00001.{end}", path / "phases")


def spoil_a_sum(path: Path) -> None:
    (path / "phases/00001.sums").write_bytes(b"x" * 3 * SUM)


DAMAGE: list[tuple[str, Callable[[Path], None], str]] = [
    (
        "the last shard, by two batches",
        lambda p: cut(p / "phases/00001.arrows", 2000),
        r"phases/00001\.arrows is truncated",
    ),
    (
        "the first shard, within its last batch",
        lambda p: cut(p / "phases/00000.arrows", -20),
        r"phases/00000\.arrows is truncated: its checksums list 1 more",
    ),
    (
        "one table, by a shard",
        delete_shard,
        r"phases/00000\.arrows is truncated: of the 4 committed phases the table contains only 3",
    ),
    ("a shard", lambda p: (p / "phases/00001.arrows").unlink(), r"phases/00001\.arrows is missing"),
    ("a first shard", lambda p: (p / "phases/00000.arrows").unlink(), r"phases/00000\.arrows is missing"),
    (
        "all of a table",
        lambda p: shutil.rmtree(p / "phases"),
        r"phases is truncated: of the 4 committed phases the table contains only 0",
    ),
    ("sums", lambda p: (p / "phases/00001.sums").unlink(), r"phases/00001\.arrows has more data than 00001\.sums"),
    ("a sum", lambda p: cut(p / "phases/00001.sums", -SUM), r"phases/00001\.arrows has more data than 00001\.sums"),
    ("a line of sums", spoil_a_sum, r"phases/00001\.sums is damaged: line 1"),
    ("another run's shard", take_anothers_shard, r"phases/00001\.arrows has different columns than earlier shards"),
]


def other(path: Path) -> Path:
    """A run of another seed, with shards alike."""
    there = path.parent / "other"
    if there.exists():
        return there
    write(there, make_spec(seed=1), map(make_record, range(3))).close()
    with RunWriter.reopen(there, make_spec(seed=1), committed=dict.fromkeys(TABLES, 3), **SIZES) as writer:
        for phase in (3, 4):
            writer.commit(make_record(phase))
    return there


@pytest.mark.parametrize(("damage", "message"), [row[1:] for row in DAMAGE], ids=[row[0] for row in DAMAGE])
def test_what_no_kill_can_leave(run: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(run)
    with pytest.raises(RecordError, match=message):
        open_run(run).phases  # noqa: B018


def test_a_resume_touches_nothing_of_a_damaged_run(run: Path) -> None:
    shard = run / "episodes" / "00000.arrows"
    content = bytearray(shard.read_bytes())
    content[-300] ^= 1
    shard.write_bytes(content)
    before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}
    with pytest.raises(RecordError, match=r"episodes/00000\.arrows is damaged: a checksum in 00000\.sums"):
        RunWriter.reopen(run, make_spec(), committed=dict.fromkeys(TABLES, 5), **SIZES)
    assert {f: f.read_bytes() for f in before} == before


def test_what_the_checkpoint_counts_must_be_there(run: Path) -> None:
    """A torn last batch is what a kill leaves, unless the checkpoint already counted it."""
    (run / "checkpoint").mkdir()
    for counted, expected in ((4, [0, 1, 2, 3]), (5, None)):
        with envelope.writing(run / CHECKPOINT_FILE, {"committed": dict.fromkeys(TABLES, counted)}) as out:
            out.write(b"state")
        cut(run / "phases" / "00001.arrows", -20)
        if expected is not None:
            assert phases(run) == expected
        else:
            with pytest.raises(
                RecordError, match=r"phases/00001\.arrows is truncated: of the 5 committed phases .* only 4"
            ):
                phases(run)
    # One that cannot be read hinders nobody who only reads.
    (run / CHECKPOINT_FILE).write_bytes(b"damaged")
    assert phases(run) == [0, 1, 2, 3]


def test_an_opened_run_that_is_finished_meanwhile(tmp_path: Path) -> None:
    writer = write(tmp_path / "run", make_spec(), map(make_record, range(2)))
    run = open_run(tmp_path / "run")
    writer.finish("failed", {}, {})
    with pytest.raises(RecordError, match="was finished after it was opened; open it again"):
        run.phases  # noqa: B018
    assert open_run(tmp_path / "run").phases.count_rows() == 2


def test_an_envelope(tmp_path: Path) -> None:
    file = tmp_path / "file.pt"
    with envelope.writing(file, {"a": [1, "ü"]}) as out:
        out.write(b"content")
    with envelope.reading(file) as content:
        assert (content.read(), envelope.about(file)) == (b"content", {"a": [1, "ü"]})
    whole = file.read_bytes()
    flipped = [whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :] for i in range(len(whole))]
    for damaged in (*flipped, *(whole[:i] for i in range(len(whole))), whole + b"x"):
        file.write_bytes(damaged)
        with pytest.raises(RecordError, match=r"file\.pt is damaged"), envelope.reading(file):
            pass


def test_a_run_is_read_while_it_is_written(tmp_path: Path) -> None:
    """Whatever the moment, what is read is a number of whole phases, and never less than before."""
    path = tmp_path / "run"
    writer = write(path, make_spec(), [make_record(0)])

    seen_enough = threading.Event()

    def commit() -> None:
        with writer:
            while not seen_enough.is_set():
                writer.commit(make_record(1))

    thread = threading.Thread(target=commit)
    thread.start()
    try:
        counts = [1]
        while len(set(counts)) < 10:
            run = open_run(path)
            counts.append(run.phases.count_rows())
            assert run.trajectories.count_rows() == 32 + 31 * (counts[-1] - 1)
    finally:
        seen_enough.set()
        thread.join()
    assert counts == sorted(counts)
    assert set(phases(path)) == {0, 1}
