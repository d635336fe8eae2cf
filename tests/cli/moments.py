"""Moments of a run at which its process is held, so that something can happen to it there.

The hooks are put in from outside, in the process that is to be held: the product knows nothing of them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path, PurePath
from typing import Any, Literal

from tests.cli.processes import CONTEXT, Child, started

STAGES = {
    "beginning": {"RunWriter.create"},
    "resuming": {"RunWriter.reopen", "_Loop._restore"},
    "collecting": {"Actors.collect"},
    "updating": {"Learner.begin", "Learner.update", "Learner.end_phase"},
    "committing": {"RunWriter.commit"},
    "checkpointing": {"Checkpoint.save"},
    "evaluating": {"evaluate_due"},
    "finalising": {"_finish", "Checkpoint.remove"},
}
"""The functions of which one is under way in each stage of a run."""

ACTORS = "lagbench.actors.control:ControlActors"
STEP = "lagbench.tasks.mujoco:EnvPoolVectorEnv.step"
WRITE = "lagbench.records.streams:_write"
VERIFY = "lagbench.records.streams:verify"
OPEN, RENAME, UNLINK = "pathlib:Path.open", "os:replace", "os:unlink"


@dataclass(frozen=True)
class Moment:
    """The ``call``-th call of ``target`` in a stage, when the process counts so many phases as committed.

    Attributes:
        stage: one of ``STAGES``.
        name: the moment in words.
        committed: phases committed when it comes.
        target: "module:function", "module:class.method".
        file: what the name of the file in the first argument must match, where there is one.
        where: before the call, after it, or when half is written: of the second argument, or of what comes first in the
            file that the call opens.
        call: counted within the stage and ``committed``, of those that match ``file``.
        readable: phases that are whole on disk then, where it is another number.
    """

    stage: str
    name: str
    committed: int
    target: str
    file: str = ""
    where: Literal["before", "half", "after"] = "before"
    call: int = 1
    readable: int | None = None

    @property
    def whole(self) -> int:
        """Phases that are whole on disk."""
        return self.committed if self.readable is None else self.readable

    def __str__(self) -> str:
        return f"{self.stage}, {self.name}"


@dataclass(frozen=True)
class Held:
    """A process that is held at a moment. ``release`` lets it go on."""

    child: Child
    release: Callable[[], None]


@contextlib.contextmanager
def held(directory: Path, moment: Moment, *arguments: str, prepare: Callable[[], None] | None = None) -> Iterator[Held]:
    """``lagbench ARGUMENTS`` in a process, held at a moment: true to its name, or this fails. Killed at the end."""
    ours, theirs = CONTEXT.Pipe()
    hold = functools.partial(_hold_at, moment, theirs, prepare)
    with ours, started(directory, *arguments, prepare=hold) as child:
        theirs.close()
        try:
            assert ours.poll(60), f"it hangs before: {moment}"
            stack: set[str] = ours.recv()
        except EOFError:
            raise AssertionError(f"it ended without this moment: {moment}; {child.err}") from None
        assert stack & STAGES[moment.stage], f"{moment} is in none of the stage's functions, but in {stack}"
        yield Held(child, lambda: ours.send(None))


def _hold_at(moment: Moment, parent: Connection, prepare: Callable[[], None] | None) -> None:
    """Patch this process so that it stops at the moment."""
    if prepare is not None:
        prepare()
    from lagbench.records.writer import RunWriter

    writers: list[RunWriter] = []
    begin = RunWriter.__init__

    def noted(self: RunWriter, *args: Any) -> None:
        begin(self, *args)
        writers.append(self)

    def stop() -> None:
        parent.send(_stack())
        parent.recv()

    module, _, name = moment.target.partition(":")
    *owners, attribute = name.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    original = getattr(owner, attribute)
    matched = 0

    def due(args: tuple[Any, ...]) -> bool:
        nonlocal matched
        committed = writers[-1].committed()["phases"] if writers else 0
        if committed != moment.committed or not STAGES[moment.stage] & _stack():
            return False
        if moment.file and not _path(args[0]).match(moment.file):
            return False
        matched += 1
        return matched == moment.call

    @functools.wraps(original)
    def hooked(*args: Any, **options: Any) -> Any:
        if not due(args):
            return original(*args, **options)
        if moment.where == "before":
            stop()
        elif moment.where == "half" and isinstance(args[0], io.FileIO):
            out, data = args
            original(out, data[: len(data) // 2])
            stop()
            return original(out, data[len(data) // 2 :])
        result = original(*args, **options)
        if moment.where == "half":
            return _Half(result.detach(), stop)
        if moment.where == "after":
            stop()
        return result

    RunWriter.__init__ = noted  # type: ignore[assignment, method-assign]
    setattr(owner, attribute, hooked)


class _Half(io.BufferedWriter):
    """A file that stops when half of the first thing of some size has been written to it."""

    def __init__(self, raw: io.RawIOBase, stop: Callable[[], None]) -> None:
        super().__init__(raw)
        self._stop: Callable[[], None] | None = stop

    def write(self, data: Any) -> int:
        half = len(data) // 2
        if self._stop is None or half < 256:
            return super().write(data)
        stop, self._stop = self._stop, None
        super().write(memoryview(data)[:half])
        self.flush()
        stop()
        return half + super().write(memoryview(data)[half:])


def _path(file: Any) -> PurePath:
    return PurePath(str(file.name if isinstance(file, io.FileIO) else file))


def _stack() -> set[str]:
    frame, names = sys._getframe(), set()
    while frame.f_back:
        frame = frame.f_back
        names.add(frame.f_code.co_qualname)
    return names
