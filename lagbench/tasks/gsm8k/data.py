"""The questions: JSON lines in GSM8K's format, from a directory, the Hugging Face hub or this package."""

from __future__ import annotations

import functools
import hashlib
import json
import lzma
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lagbench.errors import UsageError, nearest
from lagbench.tasks.gsm8k import grading

HUB, MINI, MINI_HARD = "hub", "mini", "mini-hard"
OWN = (MINI, MINI_HARD)
"""The sources that ship with this package."""
HARD = frozenset({10, 14, 20, 62, 75, 78})
"""The templates of Mini for which its model was trained on the right solution in 15% to 35% of the cases."""
HUB_NAME, HUB_CONFIG = "openai/gsm8k", "main"
TRAIN = "train"
HELD_OUT = "held-out"
"""The evaluation set for choosing hyperparameters: the last eighth of the training set."""
SUFFIXES = (".jsonl", ".jsonl.xz")
MINI_DIRECTORY = Path(__file__).parent / "mini"
_PUBLISHED = "https://github.com/openai/grade-school-math"
_MARK = "####"
# With or without digit grouping (1,000 or Indian 1,00,000), and optionally a full stop at the end.
_NUMBER = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}|[0-9]+|(?=\.[0-9]))(?:\.[0-9]+)?\.?")


@dataclass(frozen=True)
class Question:
    """One question of a set: its number in the set, from 0, the published solution, the answer in normal form."""

    number: int
    question: str
    solution: str
    target: str


def load(source: str, name: str) -> tuple[Question, ...]:
    """Return the questions of the set ``name`` (``train``, ``test``, …), in order.

    ``source`` is a directory with ``<name>.jsonl`` or ``<name>.jsonl.xz``; ``hub`` for openai/gsm8k, loaded with
    Hugging Face ``datasets``; ``mini`` for the sets of this package, or ``mini-hard`` for their templates ``HARD``.
    Each line is an object with ``question`` and ``answer``; after the last ``####`` of the answer only a number follows
    on the same line. Raises UsageError, with file and line, if anything is missing or malformed.
    """
    if source == HUB:
        return _from_hub(name)
    directory = MINI_DIRECTORY if source in OWN else Path(source).expanduser()
    file = _file(directory, name)
    return _from_file(file, file.stat().st_mtime_ns, HARD if source == MINI_HARD else None)


def split(questions: tuple[Question, ...]) -> tuple[tuple[Question, ...], tuple[Question, ...]]:
    """Split off a training set's last eighth, keeping numbers. Raises UsageError for fewer than 8 questions."""
    held = len(questions) // 8
    if not held:
        raise UsageError(
            f"{len(questions)} questions are too few to hold out an eighth; give more, or evaluate on another set: "
            f"--task-set test=test"
        )
    return questions[:-held], questions[-held:]


def digest(questions: Iterable[Question]) -> str:
    """SHA-256, in hex, of questions and answers; independent of source and compression."""
    total = hashlib.sha256()
    for q in questions:
        total.update(json.dumps([q.question, q.solution]).encode() + b"\n")
    return total.hexdigest()


def _file(directory: Path, name: str) -> Path:
    files = [directory / f"{name}{suffix}" for suffix in SUFFIXES]
    for file in files:
        if file.is_file():
            return file
    if not directory.is_dir():
        raise UsageError(f"there is no directory {str(directory)!r} with questions; {_way_out(name)}")
    there = sorted({file.name.removesuffix(s) for s in SUFFIXES for file in directory.glob(f"*{s}")})
    listing = f"it has the sets {', '.join(there)}" if there else "it has no .jsonl file"
    close = nearest(name, there)
    then = f"did you mean {close!r}?" if close else _way_out(name)
    raise UsageError(f"{str(directory)!r} has no {files[0].name}: {listing}; {then}")


def _way_out(name: str) -> str:
    return f"give a directory with {name}.jsonl as published ({_PUBLISHED}): --task-set data=DIR"


@functools.lru_cache(maxsize=8)
def _from_file(file: Path, changed: int, templates: frozenset[int] | None) -> tuple[Question, ...]:
    """Read a file, optionally only its ``templates``; ``changed``, its modification time, is part of the cache key."""
    try:
        content = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
        lines = content.decode("utf-8-sig").split("\n")  # not splitlines: text may contain other separators
    except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read ({error}); restore it from its origin") from error
    rows = ((f"{file}, line {i}", line) for i, line in enumerate(lines, 1) if line.strip())
    parsed = ((place, _parsed(place, line)) for place, line in rows)
    return _questions((row for row in parsed if templates is None or row[1]["template"] in templates), str(file))


def _parsed(place: str, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{place}: not JSON ({error.msg}, column {error.colno}); correct or remove the line"
        ) from error


def _from_hub(name: str) -> tuple[Question, ...]:
    what = f"the set {name!r} of {HUB_NAME} ({HUB_CONFIG})"
    try:
        import datasets
    except ImportError:
        raise UsageError("data=hub needs an extra: pip install 'lagbench[gsm8k]'") from None
    try:
        rows = datasets.load_dataset(HUB_NAME, HUB_CONFIG, split=name)
    except Exception as error:  # of many types, depending on what failed
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"{what} cannot be loaded from the hub ({reason}); {_way_out(name)}") from error
    return _questions(((f"{what}, row {i}", row) for i, row in enumerate(rows)), what)


def _questions(rows: Iterable[tuple[str, Any]], what: str) -> tuple[Question, ...]:
    questions = tuple(_checked(rows))
    if not questions:
        raise UsageError(f"{what} contains no questions; restore it from its origin")
    return questions


def _checked(rows: Iterable[tuple[str, Any]]) -> Iterator[Question]:
    for number, (place, row) in enumerate(rows):
        for name in ("question", "answer"):
            if not isinstance(row, dict) or not isinstance(row.get(name), str):
                raise UsageError(
                    f'{place}: no text under "{name}"; a line is {{"question": "…", "answer": "… #### 42"}}'
                )
        if not row["question"].strip():
            raise UsageError(f"{place}: the question is empty; correct or remove the line")
        yield Question(number, row["question"], row["answer"], _target(place, row["answer"]))


def _target(place: str, answer: str) -> str:
    """The number after the last ``####``, in the normal form in which answers are compared."""
    _, mark, after = answer.rpartition(_MARK)
    text = after.partition("\n")[0].strip()
    if not mark or not _NUMBER.fullmatch(text):
        found = f"the text after the last {_MARK} is {text[:40]!r}" if mark else f"it has no {_MARK}"
        raise UsageError(
            f'{place}: the answer does not end in "{_MARK} " and a number: {found}; correct or remove the line'
        )
    return grading.normal(text)
