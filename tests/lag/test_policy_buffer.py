"""The buffer holds the last L + 1 versions."""

import os
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lagbench import machine
from lagbench.errors import AlgorithmError, RecordError
from lagbench.lag.policy_buffer import PolicyBuffer
from lagbench.policies.base import Version


def version(number: int) -> Version:
    return Version(number, {"weight": torch.full((2,), float(number))})


@pytest.mark.parametrize("lag", [0, 1, 8])
def test_it_holds_k_minus_l_to_k(lag: int) -> None:
    buffer = PolicyBuffer(lag)
    for k in range(12):
        buffer.push(version(k))
        held = list(range(max(0, k - lag), k + 1))
        assert buffer.newest == k
        assert len(buffer) == len(held)
        assert [v.number for v in buffer] == held
        assert [float(v.state["weight"][0]) for v in buffer.acting(held)] == held
        for gone in (held[0] - 1, k + 1):
            with pytest.raises(KeyError):
                buffer.acting([gone])


def test_a_version_follows_the_one_before_it() -> None:
    buffer = PolicyBuffer(3)
    buffer.push(version(4))  # a resumed run begins where it stood
    for wrong in (3, 4, 6):
        with pytest.raises(ValueError, match=f"version {wrong} cannot follow version 4"):
            buffer.push(version(wrong))
    buffer.push(version(5))
    assert [v.number for v in buffer] == [4, 5]


def test_what_acts_is_what_was_pushed() -> None:
    buffer = PolicyBuffer(3)
    for k in range(3):
        buffer.push(version(k))
    assert [v.number for v in buffer.acting([2, 0, 2])] == [2, 0, 2]
    pushed = buffer.sha256(1)
    (changed,) = buffer.acting([1])
    changed.state["weight"][1] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    assert buffer.sha256(1) == pushed != changed.sha256()
    buffer.acting([0, 2])
    with pytest.raises(
        AlgorithmError, match="phase 2: policy version 1 has changed since it entered the buffer; an alg"
    ):
        buffer.acting([0, 1])


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc")
def test_versions_that_memory_does_not_hold_are_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the newest; what is one stays one, what changes is found out, and nothing stays behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    few, many = PolicyBuffer(3, memory=4 * 4 * 1024), PolicyBuffer(3, memory=4 * 4 * 1024 - 1)
    for k in range(6):
        for buffer in (few, many):
            weight = torch.full((1024,), float(k))
            buffer.push(Version(k, {"head": weight, "token": weight, "bias": torch.zeros(0)}))
    assert [in_file(v, tmp_path) for v in few] == [False] * 4
    assert [in_file(v, tmp_path) for v in many] == [True, True, True, False]
    assert os.listdir(tmp_path) == []
    for one, other in zip(few, many, strict=True):
        assert one.number == other.number
        assert one.sha256() == other.sha256()
        assert other.state["head"].data_ptr() == other.state["token"].data_ptr()
    many.acting([2, 3, 4, 5])
    next(iter(many)).state["head"][0] += 1
    with pytest.raises(AlgorithmError, match="policy version 2 has changed since it entered the buffer"):
        many.acting([2])


def test_a_directory_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("unexpected pos 704 vs 598")

    buffer = PolicyBuffer(1, memory=0)
    buffer.push(version(0))
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RecordError, match=r"^cannot write policy version 0 to .+; set TMPDIR to a directory with "):
        buffer.push(version(1))


def in_file(version: Version, directory: Path) -> bool:
    """Whether the memory of its tensors is that of a file in a directory."""
    at = version.state["head"].data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        place = line.split()[0]
        first, last = (int(x, 16) for x in place.split("-"))
        if first <= at < last:
            return str(directory) in line
    raise AssertionError


def test_half_of_the_memory_is_for_versions_and_the_rest_must_fit_into_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory", lambda: 2 * 3 * 8)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=15))
    PolicyBuffer(2).push(version(0))
    monkeypatch.setattr(machine, "memory", lambda: 2 * 3 * 8 - 2)
    with pytest.raises(
        RecordError,
        match=r"^3 policy versions of 0\.0 GiB fit neither into 0\.0 GiB of memory nor into 0\.0 GiB in .+; ",
    ):
        PolicyBuffer(2).push(version(0))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=16))
    PolicyBuffer(2).push(version(0))


def test_the_hash_of_a_version() -> None:
    """Names, types, shapes and values are told apart; the order of the tensors, their layout and the number are not."""
    x = torch.arange(6.0).reshape(2, 3)
    same = [{"a": x, "b": x}, {"b": x, "a": x.t().contiguous().t()}]
    others = [
        {"a": x, "c": x},
        {"a": x, "b": x.reshape(3, 2)},
        {"a": x, "b": x.view(torch.int32)},
        {"a": x, "b": x + 1},
        {"a": x, "b": x.bfloat16()},
        {"a": x, "b": x, "c": torch.tensor(0.0)},
    ]
    found = [Version(k, state).sha256() for k, state in enumerate([*same, *others])]
    assert found[0] == found[1]
    assert len(set(found)) == len(found) - 1
