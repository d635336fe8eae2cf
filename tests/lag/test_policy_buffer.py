"""The buffer holds the last L + 1 versions."""

import pytest
import torch

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
        assert [float(buffer[n].state["weight"][0]) for n in held] == held
        for gone in (held[0] - 1, k + 1):
            with pytest.raises(KeyError):
                buffer[gone]


def test_a_version_follows_the_one_before_it() -> None:
    buffer = PolicyBuffer(3)
    buffer.push(version(4))  # a resumed run begins where it stood
    for wrong in (3, 4, 6):
        with pytest.raises(ValueError, match=f"version {wrong} cannot follow version 4"):
            buffer.push(version(wrong))
    buffer.push(version(5))
    assert [v.number for v in buffer] == [4, 5]
