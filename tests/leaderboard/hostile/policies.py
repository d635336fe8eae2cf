"""Attacks by a policy's file."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from typing import Any

import safetensors.torch
import torch

from tests.leaderboard.hostile.attack import DEEP, HTML, PLACE, Attack
from tests.records.forge import change_policy

POLICY = f"{PLACE}/policy.safetensors"


def _content(change: Callable[[bytes], bytes]) -> Attack:
    """Other bytes, with the hash of result.json made anew."""
    return Attack("policy", lambda path: change_policy(path / PLACE, change((path / POLICY).read_bytes())))


def _tensors(change: Callable[[dict[str, Any]], Any]) -> Attack:
    def edit(content: bytes) -> bytes:
        state = safetensors.torch.load(content)
        change(state)
        return safetensors.torch.save(state)

    return _content(edit)


def _header(change: Callable[[dict[str, Any]], Any]) -> Attack:
    """Another header, with the numbers as they are."""

    def edit(content: bytes) -> bytes:
        (size,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + size])
        change(header)
        return _packed(json.dumps(header).encode(), content[8 + size :])

    return _content(edit)


def _packed(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + body


def _entry(**fields: Any) -> Attack:
    """Something else of a tensor's entry."""
    return _header(lambda header: header["log_std"].update(fields))


def _renamed(header: dict[str, Any]) -> None:
    header[HTML] = header.pop("log_std")


def _of_pendulum(state: dict[str, Any]) -> None:
    """Four observations, and one action."""
    for name, value in state.items():
        state[name] = torch.zeros([{11: 4, 3: 1}.get(size, size) for size in value.shape], dtype=value.dtype)


def _pickled(_: bytes) -> bytes:
    sink = io.BytesIO()
    torch.save({"log_std": torch.zeros(3)}, sink)
    return sink.getvalue()


ATTACKS: dict[str, Attack] = {
    "the policy of another task": _tensors(_of_pendulum),
    "a wider network": _tensors(lambda s: s.update({"actor.0.weight": torch.zeros(512, 11)})),
    "a tensor too many": _tensors(lambda s: s.update({"extra": torch.zeros(1)})),
    "a tensor too few": _tensors(lambda s: s.pop("log_std")),
    "whole numbers for weights": _tensors(lambda s: s.update(log_std=s["log_std"].int())),
    "weights of more digits": _tensors(lambda s: s.update(log_std=s["log_std"].double())),
    "a weight of NaN": _tensors(lambda s: s["actor.0.weight"].view(-1)[0].fill_(torch.nan)),
    "a weight without end": _tensors(lambda s: s["log_std"].fill_(-torch.inf)),
    "a tensor with markup for a name": _header(_renamed),
    "a shape of more than there is": _entry(shape=[2**40]),
    "a shape whose product is nothing": _entry(shape=[2**32, 2**32, 3]),
    "a shape below nothing": _entry(shape=[-3]),
    "a shape that is true": _entry(shape=[True]),
    "a type that nobody knows": _entry(dtype="F8_E4M3"),
    "a type that is a list": _entry(dtype=["F32"]),
    "numbers outside of the file": _entry(data_offsets=[2**60, 2**60 + 12]),
    "numbers before the file": _entry(data_offsets=[-12, 0]),
    "numbers of another tensor": _entry(data_offsets=[0, 12]),
    "no numbers": _entry(data_offsets=[]),
    "an entry too many": _entry(pickle="x"),
    "metadata with markup": _header(lambda header: header.update(__metadata__={"x": HTML})),
    "bytes that belong to nothing": _content(lambda content: content + b"\0" * 64),
    "a policy cut short": _content(lambda content: content[: len(content) // 2]),
    "a policy of nothing": _content(lambda content: b""),
    "a policy that is a pickle": _content(_pickled),
    "a header of a hundred megabytes": _content(lambda content: struct.pack("<Q", 100 << 20) + content[8:]),
    "a header of megabytes": _content(lambda content: _packed(b"{" + b" " * 15_000_000 + b"}", content[-64:])),
    "a header nested ten thousand deep": _content(lambda content: _packed(b'{"a":' * DEEP + b"1" + b"}" * DEEP)),
    "a header with a name twice": _content(lambda content: _packed(b'{"log_std": 1, "log_std": 2}')),
    "a header that is a list": _content(lambda content: _packed(b"[]")),
    "a header that is no text": _content(lambda content: _packed(b"\xff\xfe{}")),
    "a policy of another hash": Attack(
        "result", lambda path: (path / POLICY).write_bytes((path / POLICY).read_bytes()[:-1] + b"?")
    ),
}
