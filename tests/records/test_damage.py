"""Whatever happens to a run's files, a reader says so, or has every value as it was written.

What caught them, by the file that was attacked (`pytest -s` prints it for all):
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lagbench.records.mapped import mapped
from tests.records.damage import BEGIN_AGAIN, KINDS, copy, digest, replace, values

ROOT = Path(__file__).parents[2]

Attack = tuple[str, str, Callable[[bytes], bytes | None]]
"""A file, the kind of damage, and what it makes of the file's content; None: it is deleted."""

CAUGHT_BY = {
    "batch checksum": r"a checksum in \d+\.sums does not match",
    "sums": r"is not a checksum line|has more data than",
    "cut short": r"is truncated",
    "missing": r"is missing|has no spec\.json|No such file|has no rows yet",
    "content hash": r"content hash is not the one",
    "SHA-256": r"SHA-256 is not the one",
    "checkpoint's checksum": r"(state|version-\d+)\.pt is damaged",
    "JSON checksum": r"a checksum in it does not match|its checksum does not match",
    "schema checksum": r"has changed columns",
    "table's name": r"is not the table",
    "row count": r"rows where \d+ were recorded",
    "specification": r"is not the specification with which this run was started",
    "not JSON": r"is not JSON|result\.json cannot be read",
    "format": r"has format",
    "Arrow's structure": r"cannot be read \(",
}


class Reader:
    """The program that reads what was damaged, started again where it crashed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> list[dict[str, Any]]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.records.damage"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if line:
            answer: list[dict[str, Any]] = json.loads(line)
            return answer
        code = self._process.wait()
        self.close()
        return [{"broke": f"the reader ended with {signal.Signals(-code).name if code < 0 else code}"}] * 2

    def close(self) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None


@pytest.fixture(scope="module")
def reader() -> Iterator[Reader]:
    program = Reader()
    yield program
    program.close()


def label(answer: dict[str, Any], original: dict[str, str]) -> str:
    if "refused" in answer:
        found = (name for name, pattern in CAUGHT_BY.items() if re.search(pattern, answer["refused"]))
        return next(found, f"OTHER: {answer['refused']}")
    if "broke" in answer:
        return f"BROKE: {answer['broke']}"
    changed = [name for name in original if answer["values"].get(name) != original[name]]
    if changed == ["checkpoint"] and answer["values"]["checkpoint"] == digest(BEGIN_AGAIN):
        return "begins again"
    return f"SILENT: {changed}" if changed else "values equal"


def names(file: str, message: str) -> bool:
    """Whether a message names a damaged file: itself, its shard's other file, or its directory where it is gone."""
    stem = file.rpartition(".")[0]
    return file in message or stem in message or bool(re.search(rf"/{file.partition('/')[0]} ", message))


def kind_of(file: str) -> str:
    """Shards of a table are alike, and weights of a version."""
    return re.sub(r"\d{5}|\d+(?=\.pt)", "N", file)


def attack(reader: Reader, run: Path, scratch: Path, attacks: list[Attack]) -> None:
    """Attack a file of a copy of the run at a time; print what caught it, and fail where nothing did."""
    original = values(run)
    counts: dict[str, Counter[str]] = {}
    plain: Counter[str] = Counter()
    wrong = []
    for number, (file, kind, change) in enumerate(attacks):
        path = scratch / f"{number}"
        copy(run, path)
        before = (path / file).read_bytes()
        replace(path / file, change(before))
        as_found, verified = reader.read(path)
        if as_found.get("broke"):
            wrong.append(f"{file}, {kind}, read plainly: {as_found['broke']}")
        plain["refused" if "refused" in as_found else "read"] += 1
        result = label(verified, original)
        counts.setdefault(kind_of(file), Counter())[result] += 1
        if re.match(r"OTHER|BROKE|SILENT", result):
            wrong.append(f"{file}, {kind}: {result}")
        elif "refused" in verified and not names(file, verified["refused"]):
            wrong.append(f"{file}, {kind}: not named in {verified['refused']!r}")
        elif "\n" in verified.get("refused", ""):
            wrong.append(f"{file}, {kind}: more than a line: {verified['refused']!r}")
    print(f"\n{len(attacks)} attacks on {run.name}; without verification {dict(plain)}")
    total: Counter[str] = sum(counts.values(), Counter())
    for name, counter in [*sorted(counts.items()), ("all", total)]:
        print(f"{name:<24} {counter.total():>4}  {', '.join(f'{k} {n}' for k, n in counter.most_common())}")
    assert not wrong, "\n".join(wrong)


def patched(start: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda before: before[:start] + new + before[start + len(new) :]


def random_attacks(run: Path, seed: int) -> list[Attack]:
    """Every kind of damage to every kind of file."""
    files: dict[str, list[str]] = {}
    for name in sorted(str(f.relative_to(run)) for f in run.rglob("*") if f.is_file() and f.stat().st_size):
        files.setdefault(kind_of(name), []).append(name)
    rng = random.Random(seed)

    def change(kind: str, seed: int) -> Callable[[bytes], bytes | None]:
        return lambda content: KINDS[kind](bytearray(content), random.Random(seed))

    return [(rng.choice(alike), kind, change(kind, rng.getrandbits(32))) for alike in files.values() for kind in KINDS]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["finished", "unfinished"])
def test_random_damage(kind: str, reader: Reader, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    run: Path = request.getfixturevalue(kind)
    attack(reader, run, tmp_path, random_attacks(run, seed=len(kind)))


PATTERNS = (("ones", b"\xff"), ("zeros", b"\x00"), ("sevens", b"\x77"))


@pytest.mark.slow
def test_damage_within_arrow_frames(finished: Path, reader: Reader, tmp_path: Path) -> None:
    """Every buffer of every column, offsets and null bitmaps among them, in files whose frames stay whole."""
    attacks: list[Attack] = []
    for table in ("trajectories", "episodes", "evaluations", "phases"):
        file = f"{table}/data.arrow"
        content = mapped(finished / file)
        batch = pa.ipc.open_file(pa.BufferReader(content)).get_batch(0)
        for column in batch.schema.names:
            buffers = [b for b in batch.column(column).buffers() if b is not None and b.size]
            # Of a list, offsets too.
            kinds = PATTERNS if pa.types.is_nested(batch.schema.field(column).type) else PATTERNS[:1]
            for number, buffer in enumerate(buffers):
                start = buffer.address - content.address
                for name, byte in kinds:
                    attacks.append((file, f"{column}, buffer {number}, {name}", patched(start, byte * buffer.size)))
    attack(reader, finished, tmp_path, attacks)
