"""The command line in processes of its own, as many as a test likes: they are forked from one that has loaded torch."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["lagbench.cli.run", "lagbench.runner", "lagbench.actors.control", "lagbench.tasks.mujoco", "torch._dynamo"]
)


@dataclass
class Child:
    """A process that runs the command line: what a shell would start, but at once."""

    process: ForkServerProcess
    directory: Path

    @property
    def out(self) -> str:
        return (self.directory / "out.txt").read_text()

    @property
    def err(self) -> str:
        return (self.directory / "err.txt").read_text()

    def signal(self, number: int) -> None:
        assert self.process.pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def wait(self, seconds: float = 60) -> int:
        """The exit code, negative for a signal that killed it."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running: {self.err}"
        return self.process.exitcode


@contextlib.contextmanager
def started(directory: Path, *arguments: str, prepare: Callable[[], None] | None = None) -> Iterator[Child]:
    """``lagbench ARGUMENTS`` in ``directory``; killed at the end if it still runs.

    ``prepare`` is called in the process first.
    """
    process = CONTEXT.Process(target=_main, args=(directory, arguments, prepare))
    process.start()
    try:
        yield Child(process, directory)
    finally:
        process.kill()
        process.join()
        process.close()


def until(condition: object, seconds: float = 60, every: float = 0.002) -> None:
    """Wait for something to come true, and look ``every`` so many seconds."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(every)


def _main(directory: Path, arguments: tuple[str, ...], prepare: Callable[[], None] | None) -> None:
    from lagbench.cli.main import main

    os.chdir(directory)
    if prepare is not None:
        prepare()
    for number, name in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.argv = ["lagbench", *arguments]
    main()
