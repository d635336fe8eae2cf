"""The buffer holds the last L + 1 versions."""

import pytest
import torch

from lagbench.errors import AlgorithmError
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
    with pytest.raises(AlgorithmError, match="phase 2: policy version 1 is not what it was when it was pushed; an alg"):
        buffer.acting([0, 1])


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
