"""The command line in this process, and small runs for it."""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from lagbench.cli import progress
from lagbench.cli.main import main
from lagbench.source import known

SMALL = ("--actors", "4", "--phase-steps", "16", "--minibatch", "32", "--budget", "320", "--eval-episodes", "1")
"""Five phases, in some tenths of a second."""
ALGORITHMS = """
import torch
from lagbench import Algorithm

class Mine(Algorithm):
    class Config(Algorithm.Config):
        strength: float = 1.0

    def loss(self, batch):
        new = self.policy.evaluate(batch)
        loss = -batch.objective(new.log_prob * batch.advantage) * self.config.strength
        return loss + self.auxiliary_loss(new, batch), {}

class Late(Mine):
    '''Does something else in its third phase: progress is then 2/5.'''

    def loss(self, batch):
        loss, _ = super().loss(batch)
        return (self.happen(loss, batch) if self.progress > 0.3 else loss), {"size": loss.detach()}

    def happen(self, loss, batch):
        return loss

class Nan(Late):
    def __init__(self, config, policy):
        super().__init__(config, policy)
        self.register_buffer("late", torch.tensor(0))

    def happen(self, loss, batch):
        self.late += 1
        return loss * float("nan") if self.late > 5 else loss

class NanAtOnce(Late):
    def happen(self, loss, batch):
        return loss * float("nan")

class Mistaken(Late):
    def happen(self, loss, batch):
        return batch.avantage

class Forgetful(Late):
    def happen(self, loss, batch):
        return batch.replace(extra={"x": loss})

class OutOfMemory(Late):
    def happen(self, loss, batch):
        raise MemoryError("too much")

class Chatty(Mine):
    def loss(self, batch):
        print("a debugging print")
        return super().loss(batch)

class Lossless(Algorithm):
    pass

class Odd(Mine):
    class Config(Algorithm.Config):
        sizes: list[int] = ()

class Stranger:
    pass
"""


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What a refusal says: one line on stderr, nothing else anywhere."""
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert "Traceback" not in line
        return line

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def lagbench(*arguments: str | Path) -> Done:
    """``lagbench ARGUMENTS``, without a process of its own. However slow the machine is, no progress is shown."""
    out, err = io.StringIO(), io.StringIO()
    code: Any = None
    with (
        mock.patch.dict(known._sources, clear=True),
        mock.patch.dict(known._copies, clear=True),
        mock.patch.object(progress, "_PLAIN_EVERY_S", math.inf),
        mock.patch.object(sys, "argv", ["lagbench", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def entries(run: Path) -> int:
    """How often a process has begun to write a run."""
    try:
        return len(json.loads((run / "environment.json").read_text()))
    except FileNotFoundError:
        return 0


def content_hash(run: Path) -> Any:
    return json.loads((run / "result.json").read_text())["content_hash"]
