"""Every random stream of a run, derived from its seed.

A stream is identified by its purpose and, if it recurs, by its phase or evaluation, so that each can be recomputed
independently: resuming a run needs no generator state, and every draw can be recomputed from ``spec.json``.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch


class Stream(IntEnum):
    """The purpose of a random stream. The numbers are part of the record format: never renumber."""

    WEIGHTS = 0
    ENVIRONMENT = 1
    STALENESS = 2
    ACTION = 3
    MINIBATCH = 4
    WARMUP_ENVIRONMENT = 5
    WARMUP_ACTION = 6
    EVALUATION = 7
    EVALUATION_ACTION = 8
    ALGORITHM = 9


DRAWN = 2**32
"""``drawn`` draws seeds from here on, which no suite uses as its own."""


def drawn(key: str, n: int) -> list[int]:
    """Training seeds derived from a text that was not known in advance.

    Args:
        key: the text.
        n: how many.

    Returns:
        Seeds [n] in [2**32, 2**63), which no suite uses as its own.
    """
    words = (hashlib.sha256(f"{key} {i}".encode()).digest()[:8] for i in range(n))
    return [DRAWN + int.from_bytes(word, "big") % (2**63 - DRAWN) for word in words]


def sequence(seed: int, stream: Stream, *key: int) -> np.random.SeedSequence:
    """The SeedSequence of one stream of the run with this seed."""
    return np.random.SeedSequence(seed, spawn_key=(int(stream), *key))


def generator(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """A NumPy generator on one stream."""
    return np.random.Generator(np.random.PCG64(sequence(seed, stream, *key)))


def torch_generator(seed: int, stream: Stream, *key: int) -> torch.Generator:
    """A torch CPU generator on one stream."""
    import torch

    word = int(sequence(seed, stream, *key).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(word % 2**63)


def environment_seeds(seed: int, stream: Stream, n: int, *key: int) -> NDArray[np.int32]:
    """Seeds [n] for n environments, each a non-negative int32 (the range that EnvPool takes)."""
    words = sequence(seed, stream, *key).generate_state(n, np.uint32)
    return (words >> 1).astype(np.int32)


def evaluation_seeds(seed: int, suite: str | None, index: int, episodes: int) -> list[int]:
    """The environment seeds of a run's evaluation ``index``, fixed by (suite, run seed, index, episode).

    Suites of a family, which share their runs, share its name here.
    """
    word = int.from_bytes(hashlib.sha256((suite or "").encode()).digest()[:4], "big")
    return [int(s) for s in environment_seeds(seed, Stream.EVALUATION, episodes, word, index)]
