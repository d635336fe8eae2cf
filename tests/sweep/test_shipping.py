"""Changes of a directory: applied, they make the same of it; cut short, a run that can be resumed."""

import random
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lagbench.runner import execute, resume
from lagbench.sinks.base import Sink
from lagbench.sweep.cells import Planned, look
from lagbench.sweep.shipping import Change, Shipper, apply, pack
from lagbench.training import PhaseResult
from tests.cli.run_here import content_hash
from tests.sweep.conftest import small

NAMES = st.sampled_from(["a.json", "t/0.arrows", "t/0.sums", "t/1.arrows", "deep/er/b.pt", "result.json"])


def tree(directory: Path) -> dict[str, bytes]:
    return {str(f.relative_to(directory)): f.read_bytes() for f in directory.rglob("*") if f.is_file()}


@settings(max_examples=30)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["write", "append", "remove"]), NAMES, st.binary(max_size=8)), max_size=6),
        max_size=4,
    )
)
def test_applied_they_make_the_same(
    tmp_path_factory: pytest.TempPathFactory, rounds: list[list[tuple[str, str, bytes]]]
) -> None:
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    shipper = Shipper(here)
    for steps in rounds:
        for what, name, data in steps:
            file = here / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if what == "remove":
                file.unlink(missing_ok=True)
            elif what == "append" and file.exists():
                with file.open("ab") as out:
                    out.write(data)
            else:
                (new := file.with_name("new")).write_bytes(data)
                new.replace(file)
        apply(there, shipper.changes())
        assert tree(there) == tree(here)
    assert shipper.changes() == []
    copy = tmp_path_factory.mktemp("copy")
    apply(copy, pack(here))
    assert tree(copy) == tree(here)


def test_of_what_grows_only_the_tail_is_sent(tmp_path: Path) -> None:
    shard, shipper = tmp_path / "0.arrows", Shipper(tmp_path)
    shard.write_bytes(b"head")
    (tmp_path / ".lock").touch()
    (tmp_path / "result.json.tmp").touch()
    (tmp_path / "result.json").touch()
    (tmp_path / "z.pt").touch()
    (tmp_path / "source").mkdir()
    (tmp_path / "source/mine.py").touch()
    source, *others, last = shipper.changes()
    assert source == Change("source/mine.py", 0, b"")
    assert sorted(others, key=str) == [Change("0.arrows", 0, b"head"), Change("z.pt", 0, b"")]
    # It says that the rest is there.
    assert last == Change("result.json", 0, b"")
    with shard.open("ab") as out:
        out.write(b"tail")
    (tmp_path / "z.pt").unlink()
    assert shipper.changes() == [Change("0.arrows", 4, b"tail"), Change("z.pt", 0, None)]


def test_what_a_link_leads_to_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/link").symlink_to(tmp_path / "secret")
    (tmp_path / "run/up").symlink_to(tmp_path)
    assert pack(tmp_path / "run") == []


class Follow(Sink):
    """Keeps what would be sent after every second phase."""

    def __init__(self, path: Path) -> None:
        self.sent: list[list[Change]] = []
        self.shipper = Shipper(path)

    def write(self, result: PhaseResult) -> None:
        if result.record.phase % 2:
            self.sent.append(self.shipper.changes())


def test_cut_short_anywhere_they_leave_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    (cell,) = small(tmp_path, algo="ppo-kl", lag=[2], budget=640)
    follow = Follow(cell.path)
    cell.path.mkdir(parents=True)
    execute(cell.spec, cell.path, threads=1, sinks=[follow])
    sent = [*follow.sent, follow.shipper.changes()]
    changes = [change for batch in sent for change in batch]
    begins = next(i for i, change in enumerate(changes) if change.name == "spec.json") + 1
    for n in [*random.Random(0).sample(range(begins, len(changes)), 3), len(changes)]:
        there = Planned(cell.spec, tmp_path / f"there-{n}")
        left = n
        for batch in sent:
            apply(there.path, batch[:left])
            left = max(left - len(batch), 0)
        assert look(there).status in ("unfinished", "completed")
        if look(there).status == "unfinished":
            resume(there.path, threads=1)
        assert content_hash(there.path) == content_hash(cell.path)
        shutil.rmtree(there.path)
