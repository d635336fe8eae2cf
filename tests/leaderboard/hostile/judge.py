"""What a validator makes of a submission that may be hostile, and what that takes: seen from outside of its process.

As a program, given a valid submission: reads paths from stdin and prints, as one line of JSON each, a ``Verdict``. Each
path has a process of its own, with limits, so that a crash within Arrow is seen for what it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lagbench.leaderboard.validate import Validation, validate
from tests.leaderboard import small

ROOT = Path(__file__).parents[3]
PATIENCE = 120
"""Seconds after which a validator that waits for something is ended; computing it may take a quarter of them."""
ROOM = 2 << 30
"""Bytes that it may ask for, over what it has."""
_SHOWN = 3


@dataclass(frozen=True)
class Verdict:
    """What came of a validation.

    Attributes:
        passed: whether nothing is wrong.
        checks: those that found something.
        messages: the first few problems; where the validator broke, what it said.
        scores: of each run its path, status, final return and area, where it passed.
        broke: how the process ended, where it did not end by itself; empty else.
        seconds: of computing.
        peak: bytes in memory at most.
    """

    passed: bool = False
    checks: Sequence[str] = ()
    messages: Sequence[str] = ()
    scores: Sequence[Sequence[Any]] = ()
    broke: str = ""
    seconds: float = 0.0
    peak: int = 0


def found(validation: Validation) -> dict[str, Any]:
    """What a validation found, as far as a verdict has it, as JSON."""
    assert str(validation.to_json()).isprintable()
    assert (validation.table is None) != validation.passed
    names = ("path", "status", "final", "area")
    rows = validation.table.select(names).to_pylist() if validation.table is not None else []
    return {
        "passed": validation.passed,
        "checks": list(dict.fromkeys(problem.check for problem in validation.problems)),
        "messages": [str(problem) for problem in validation.problems[:_SHOWN]],
        "scores": sorted([[row[name] for name in names] for row in rows]),
    }


def _alone(path: Path, answer: int) -> None:
    """Validate in this process, which is there for nothing else."""
    try:
        signal.alarm(PATIENCE)
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE // 4, PATIENCE // 4))
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + ROOM,) * 2)
        os.write(answer, json.dumps(found(validate(path))).encode())
    except BaseException:
        os.write(answer, json.dumps({"broke": traceback.format_exc()}).encode())
    finally:
        os._exit(0)


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def judge(path: Path) -> Verdict:
    """Validate in another process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _alone(path, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        content = answer.read()
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    data = (
        json.loads(content) if content else {"broke": signal.Signals(-code).name if code < 0 else f"exit code {code}"}
    )
    return Verdict(**data, seconds=used.ru_utime + used.ru_stime, peak=used.ru_maxrss * 1024)


class Judge:
    """The program, from outside."""

    def __init__(self, valid: Path) -> None:
        # What is a warning here may be Arrow's about what it was given.
        command = [sys.executable, "-W", "error", "-m", __spec__.name, str(valid)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, path: Path) -> Verdict:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        return Verdict(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it."""
        with self._process as process:
            process.kill()


@contextlib.contextmanager
def judging(valid: Path) -> Iterator[Judge]:
    """A judge, who has seen a valid submission before, and its end."""
    judge = Judge(valid)
    try:
        yield judge
    finally:
        judge.close()


def main() -> None:
    """See the module."""
    with small.known():
        # What is imported and kept with the first, those after it need not pay for.
        validate(Path(sys.argv[1]))
        for line in sys.stdin:
            print(json.dumps(asdict(judge(Path(line.rstrip("\n"))))), flush=True)


if __name__ == "__main__":
    main()
