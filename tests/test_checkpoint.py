"""A checkpoint is whole at every moment, and holds what a resume needs and no more."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lagbench import checkpoint as module
from lagbench.checkpoint import Checkpoint
from lagbench.errors import RecordError
from lagbench.records import envelope
from tests.ends import file_size_limit
from tests.records.build import make_spec

SPEC = make_spec()
COUNTS = {"phases": 3, "episodes": 3}


def state(phase: int, lag: int = 2) -> dict[str, Any]:
    numbers = range(max(phase - lag, 0), phase + 1)
    return {
        "phases": phase,
        "diverged": None,
        "learner": {"algorithm": {"policy.weight": torch.full((3,), float(phase))}, "optimizer": {"state": {}}},
        "versions": {n: {"weight": torch.full((3,), float(n))} for n in numbers},
        "stored": {n: {"reward": torch.full((3,), float(n)), "longest": None} for n in numbers if n < phase},
    }


def names(directory: Path) -> set[str]:
    return {f.name for f in directory.iterdir()}


def test_what_was_saved_last_is_loaded(tmp_path: Path) -> None:
    directory = tmp_path / "checkpoint"
    assert Checkpoint(directory).load() is None
    checkpoint = Checkpoint(directory)
    for phase in range(5):
        checkpoint.save(SPEC, state(phase), COUNTS)
    for reader in (checkpoint, Checkpoint(directory)):
        saved = reader.load()
        assert saved is not None
        assert (saved.spec, saved.committed) == (SPEC, COUNTS)
        assert saved.state.keys() == state(4).keys()
        assert saved.state["phases"] == 4
        assert torch.equal(saved.state["learner"]["algorithm"]["policy.weight"], torch.full((3,), 4.0))
        assert {n: v["weight"].tolist() for n, v in saved.state["versions"].items()} == {n: [n] * 3 for n in (2, 3, 4)}
        assert {n: v["reward"].tolist() for n, v in saved.state["stored"].items()} == {n: [n] * 3 for n in (2, 3)}


def test_a_checkpoint_of_before_there_was_a_store(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.save(SPEC, state(1), COUNTS)
    data = module._read(tmp_path / "c/state.pt")
    del data["stored"]
    module._write(tmp_path / "c/state.pt", data)
    saved = Checkpoint(tmp_path / "c").load()
    assert saved is not None
    assert saved.state["stored"] == {}


def test_what_cuda_wrote_is_read_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
        checkpoint.save(SPEC, state(1), COUNTS)
    with envelope.reading(tmp_path / "c/version-1.pt") as content, pytest.raises(RuntimeError, match="CUDA"):
        torch.load(content, weights_only=True)
    saved = checkpoint.load()
    assert saved is not None
    assert saved.state["versions"][1]["weight"].device.type == "cpu"


def test_versions_and_rollouts_are_written_once_and_go_when_they_are_too_old(tmp_path: Path) -> None:
    checkpoint, write = Checkpoint(tmp_path / "c"), module._write
    written: list[str] = []

    def note(file: Path, data: Any) -> None:
        written.append(file.name)
        write(file, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_write", note)
        for phase in range(4):
            checkpoint.save(SPEC, state(phase), COUNTS)
            held = {f"version-{n}.pt" for n in state(phase)["versions"]}
            held |= {f"stored-{n}.pt" for n in state(phase)["stored"]}
            assert names(tmp_path / "c") == {"state.pt", *held}
    once = sorted(name for name in written if name != "state.pt")
    assert once == [*(f"stored-{n}.pt" for n in range(3)), *(f"version-{n}.pt" for n in range(4))]


def test_what_a_kill_left_is_made_again(tmp_path: Path) -> None:
    """A version of a phase whose state was not saved any more: the phase is made again, perhaps on another machine."""
    directory = tmp_path / "c"
    Checkpoint(directory).save(SPEC, state(1), COUNTS)
    (directory / "version-2.pt").write_bytes(b"half of it")
    (directory / "version-9.pt").write_bytes(b"of nobody")
    checkpoint = Checkpoint(directory)
    assert checkpoint.load() is not None
    checkpoint.save(SPEC, state(2), COUNTS)
    saved = Checkpoint(directory).load()
    assert saved is not None
    assert saved.state["versions"][2]["weight"].tolist() == [2, 2, 2]
    assert "version-9.pt" not in names(directory)


@pytest.mark.parametrize("at", ["version-3.pt", "state.pt"])
def test_until_a_save_is_through_the_one_before_counts(tmp_path: Path, at: str) -> None:
    directory = tmp_path / "c"
    checkpoint = Checkpoint(directory)
    checkpoint.save(SPEC, state(2), COUNTS)
    write = module._write

    def killed(file: Path, data: Any) -> None:
        if file.name == at:
            file.with_suffix(".tmp").write_bytes(b"half")
            raise KeyboardInterrupt
        write(file, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(SPEC, state(3), COUNTS)
    again = Checkpoint(directory)
    saved = again.load()
    assert saved is not None
    assert saved.state["phases"] == 2
    again.save(SPEC, state(3), COUNTS)
    saved = Checkpoint(directory).load()
    assert saved is not None
    assert saved.state["phases"] == 3


@pytest.mark.parametrize("file", ["state.pt", "version-1.pt"])
@pytest.mark.parametrize("content", [None, b"", b"not what torch wrote"])
def test_what_cannot_be_read(tmp_path: Path, file: str, content: bytes | None) -> None:
    directory = tmp_path / "c"
    Checkpoint(directory).save(SPEC, state(2), COUNTS)
    if content is None:
        (directory / file).unlink()
    else:
        (directory / file).write_bytes(content)
    if (file, content) == ("state.pt", None):
        assert Checkpoint(directory).load() is None
        return
    with pytest.raises(RecordError) as caught:
        Checkpoint(directory).load()
    assert str(caught.value).startswith(f"the checkpoint in {directory} cannot be read (")
    assert str(caught.value).endswith(
        "; restore it from a copy of the run, or delete that directory to start from the beginning with: lagbench "
        f"resume {tmp_path}"
    )
    assert "\n" not in str(caught.value)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("no directory")
    with pytest.raises(RecordError) as caught:
        Checkpoint(tmp_path / "c").save(SPEC, state(0), COUNTS)
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'c'} (File exists); move it away, then resume with: lagbench resume {tmp_path}"
    )


def test_a_disk_that_is_full_is_said_to_be(tmp_path: Path) -> None:
    """While the tensors are on their way to it, where torch has an error of its own."""
    with file_size_limit(100_000), pytest.raises(OSError, match="File too large"):
        module._write(tmp_path / "f.pt", {"x": torch.zeros(1 << 20)})
    assert not (tmp_path / "f.pt").exists()


def test_a_checkpoint_is_never_in_memory_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No piece that is written is larger than a tensor."""
    sizes: list[int] = []
    write = envelope._Summed.write

    def note(self: Any, data: Any) -> int:
        sizes.append(memoryview(data).nbytes)
        return write(self, data)

    monkeypatch.setattr(envelope._Summed, "write", note)
    module._write(tmp_path / "f.pt", {str(k): torch.full((1 << 16,), float(k)) for k in range(8)})
    assert max(sizes) <= 4 << 16 < sum(sizes) / 7
    assert [float(x[-1]) for x in module._read(tmp_path / "f.pt").values()] == [*range(8)]


def test_it_can_be_removed_more_than_once(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    checkpoint.remove()
    checkpoint.save(SPEC, state(0), COUNTS)
    checkpoint.remove()
    checkpoint.remove()
    assert not (tmp_path / "c").exists()
