"""policy.safetensors: the tensors of the benchmark's network, held to it by the file's header before any is loaded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lagbench import RunSpec, shapes
from lagbench.leaderboard import limits, strict_json
from lagbench.leaderboard.findings import Problem
from lagbench.leaderboard.text import shown

CHECK = "policy"
# safetensors' name of a type → torch's, and its bytes.
_TYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "BOOL": ("bool", 1),
}
# How numpy reads what is a number: bfloat16 is the upper half of a float32.
_NUMPY = {"float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}


def check(file: Path, path: str, spec: RunSpec, *, finite: bool) -> Iterator[Problem]:
    """What is wrong with the policy file of a run; of one that diverged, weights need not be ``finite``."""
    for fault in _faults(file, shapes.policy(spec), finite):
        yield Problem(CHECK, path, None, fault)


def _faults(file: Path, layout: shapes.Layout, finite: bool) -> Iterator[str]:
    with file.open("rb") as source:
        content = source.read(limits.FILE_BYTES + 1)
    if len(content) < 8 or not 2 <= (size := struct.unpack("<Q", content[:8])[0]) <= min(
        limits.JSON_BYTES, len(content) - 8
    ):
        yield "it is no safetensors file: its header lies outside of it"
        return
    try:
        header = strict_json.parse(content[8 : 8 + size], "its header")
    except strict_json.JsonError as error:
        yield str(error)
        return
    if not isinstance(header, dict):
        yield "its header is no JSON object"
        return
    if "__metadata__" in header:
        yield "it has metadata, and none is read"
    body, end = memoryview(content)[8 + size :], 0
    tensors = {name: own for name, own in header.items() if name != "__metadata__"}
    for name in sorted(layout.keys() - tensors.keys()):
        yield f"the tensor {name} is missing"
    for name in sorted(tensors.keys() - layout.keys()):
        yield f"the tensor {shown(name)!r} is none of the network's"
    for name in sorted(tensors.keys() & layout.keys(), key=lambda name: _begin(tensors[name])):
        fault = _header_fault(tensors[name], layout[name], end, len(body))
        if fault:
            yield f"the tensor {name} {fault}"
            return
        begin, end = tensors[name]["data_offsets"]
        kind = layout[name][1]
        if finite and kind in _NUMPY and not _is_finite(body[begin:end], kind):
            yield f"the tensor {name} has a value that is not finite"
    if not tensors.keys() ^ layout.keys() and end != len(body):
        yield f"it has {len(body) - end:,} bytes that belong to no tensor"


def _begin(own: Any) -> int:
    offsets = own.get("data_offsets") if isinstance(own, dict) else None
    return offsets[0] if isinstance(offsets, list) and offsets and type(offsets[0]) is int else -1


def _header_fault(own: Any, wanted: tuple[tuple[int, ...], str], end: int, size: int) -> str | None:
    """What is wrong with a tensor's entry; the one before it ends at ``end``."""
    if not isinstance(own, dict) or own.keys() != {"dtype", "shape", "data_offsets"}:
        return "must have dtype, shape and data_offsets, and nothing else"
    shape, kind = wanted
    name, width = _TYPES.get(own["dtype"], ("", 0)) if isinstance(own["dtype"], str) else ("", 0)
    if name != kind:
        return f"is of type {shown(own['dtype'])}, and must be {kind}"
    if not isinstance(own["shape"], list) or [*shape] != own["shape"] or any(type(n) is not int for n in own["shape"]):
        return f"has the shape {shown(own['shape'])}, and must have {list(shape)}"
    length = width * int(np.prod(shape, dtype=np.int64))
    if own["data_offsets"] != [end, end + length] or any(type(n) is not int for n in own["data_offsets"]):
        return f"lies at {shown(own['data_offsets'])}, and must follow the one before, at {[end, end + length]}"
    if end + length > size:
        return "lies outside of the file"
    return None


def _is_finite(values: memoryview, kind: str) -> bool:
    found = np.frombuffer(values, _NUMPY[kind])
    if kind == "bfloat16":
        found = (found.astype("<u4") << 16).view("<f4")
    return bool(np.isfinite(found).all())
