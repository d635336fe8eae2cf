"""Damage to a run's files, and what a reader makes of it.

As a program: reads paths of runs from stdin and prints, as one line of JSON each, what reading everything gave. Its own
process, so that a crash inside Arrow is seen for what it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from lagbench.checkpoint import Checkpoint
from lagbench.errors import LagbenchError
from lagbench.records.content_hash import table_hash
from lagbench.records.reader import open_run

NEAR = 4096  # the first and last bytes of a file, where Arrow and zip keep what tells how to read the rest

BEGIN_AGAIN = "no checkpoint"

Damage = Callable[[bytearray, random.Random], bytes | None]


def flip(content: bytearray, rng: random.Random, first: int = 0, last: int | None = None) -> bytes:
    at = rng.randrange(first, len(content) if last is None else last)
    content[at] ^= 1 << rng.randrange(8)
    return bytes(content)


def overwrite(content: bytearray, rng: random.Random) -> bytes:
    at, size = rng.randrange(len(content)), rng.choice([1, 4, 8, 64, 512])
    content[at : at + size] = rng.randbytes(len(content[at : at + size]))
    return bytes(content)


def zero(content: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(len(content)) // 512 * 512
    content[at : at + 512] = bytes(len(content[at : at + 512]))
    return bytes(content)


def swap(content: bytearray, rng: random.Random) -> bytes:
    """Two blocks in each other's place."""
    size = max(len(content) // 16, 1)
    a, b = rng.randrange(16) * size, rng.randrange(16) * size
    content[a : a + size], content[b : b + size] = content[b : b + size], content[a : a + size]
    return bytes(content)


def foreign(_: bytearray, __: random.Random) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"phase": [1, 2, 3]})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


KINDS: dict[str, Damage] = {
    "bit flipped": flip,
    "bit flipped near the beginning": lambda c, rng: flip(c, rng, last=min(NEAR, len(c))),
    "bit flipped near the end": lambda c, rng: flip(c, rng, first=max(len(c) - NEAR, 0)),
    "bytes overwritten": overwrite,
    "block zeroed": zero,
    "blocks swapped": swap,
    "cut short": lambda c, rng: bytes(c[: rng.randrange(1, len(c))]),
    "bytes lost within": lambda c, rng: bytes(c[: (at := rng.randrange(len(c)))] + c[at + rng.choice([1, 8, 64]) :]),
    "bytes added within": lambda c, rng: bytes(c[: (at := rng.randrange(len(c)))] + rng.randbytes(8) + c[at:]),
    "bytes added at the end": lambda c, rng: bytes(c) + rng.randbytes(rng.choice([1, 8, 64])),
    "emptied": lambda c, rng: b"",
    "a foreign Arrow file": foreign,
    "deleted": lambda c, rng: None,
}


def copy(run: Path, to: Path) -> None:
    """A copy made of hard links: to change a file is to replace it."""
    shutil.copytree(run, to, copy_function=os.link)


def replace(file: Path, content: bytes | None) -> None:
    file.unlink()
    if content is not None:
        file.write_bytes(content)


def values(path: Path) -> dict[str, str]:
    """Digests of all that can be read of a run, by what it is."""
    run = open_run(path, verify=True)
    found = {
        "spec": json.dumps(run.spec.to_json(), sort_keys=True),
        "result": json.dumps(run.result, sort_keys=True),
        "environment": json.dumps(run.environment, sort_keys=True),
        **run.content_hash(),
    }
    if run.result is not None:
        found["policy"] = digest(run.policy().state_dict())
    else:
        # Without one a resume begins again, from rows that it can make again.
        found["checkpoint"] = digest(Checkpoint(path / "checkpoint").load() or BEGIN_AGAIN)
    return found


def read_plainly(path: Path) -> None:
    """What a user reads without asking for verification: it may be damaged, but nothing may break."""
    run = open_run(path)
    run.curve()
    for table in ("trajectories", "episodes", "evaluations", "phases"):
        dataset = getattr(run, table)
        table_hash(dataset.schema, dataset.to_table().to_batches())
    episodes: list[Any] = [*run.training_episodes(), *run.evaluation_episodes()]
    for episode in episodes:
        digest(vars(episode))
    for batch in run.batches(["observation", "action", "reward", "terminated", "step"], 100):
        digest(batch)


def digest(data: Any) -> str:
    """Of nested dictionaries, lists, arrays, tensors and scalars."""
    total = hashlib.sha256()

    def take(item: Any) -> None:
        if isinstance(item, dict):
            for key in sorted(item, key=str):
                take(str(key))
                take(item[key])
        elif isinstance(item, (list, tuple)):
            total.update(f"[{len(item)}".encode())
            for inner in item:
                take(inner)
        elif isinstance(item, (torch.Tensor, np.ndarray)):
            total.update(f"{item.dtype}{tuple(item.shape)}".encode() + np.asarray(item).tobytes())
        else:
            total.update(f"{type(item).__name__}{item!r}".encode())

    take(data)
    return total.hexdigest()


def attempt(read: Callable[[Path], Any], path: Path) -> dict[str, Any]:
    try:
        return {"values": read(path)}
    except LagbenchError as error:
        return {"refused": str(error)}
    except Exception as error:
        return {"broke": f"{type(error).__name__}: {error}"}


def main() -> None:
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        print(json.dumps([attempt(read_plainly, path), attempt(values, path)]), flush=True)


if __name__ == "__main__":
    main()
