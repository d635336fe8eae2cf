"""JSON that strangers wrote: bounded in size and depth, no key twice, no number that JSON has not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from lagbench import LagbenchError
from lagbench.leaderboard import limits
from lagbench.leaderboard.text import shown


class JsonError(LagbenchError):
    """It is no JSON, or none that is read here."""


def read_bytes(file: Path, limit: int = limits.MANIFEST_BYTES) -> bytes:
    """The bytes of a file, which are no more than ``limit``. Raises JsonError."""
    try:
        with file.open("rb") as source:
            content = source.read(limit + 1)
    except OSError as error:
        raise JsonError(f"{file} cannot be read ({error.strerror or error})") from error
    if len(content) > limit:
        raise JsonError(f"{file} is larger than {limit:,} bytes")
    return content


# Possessive: to go back would be in vain, and what for is kept for every character.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_DIGITS = 30


def parse(content: bytes, what: str) -> Any:
    """The document. Raises JsonError, which names ``what`` it is."""
    try:
        _check_depth(content)
        return json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except (ValueError, RecursionError) as error:
        raise JsonError(f"{what} is not JSON as it is read here: {shown(error)}") from error


def _check_depth(content: bytes) -> None:
    """Before anything is parsed: the parser would recurse."""
    depth = 0
    for (bracket,) in _BRACKET.findall(_STRING.sub(b"", content)):
        depth += 1 if bracket in b"[{" else -1
        if depth > limits.JSON_DEPTH:
            raise ValueError(f"it is nested deeper than {limits.JSON_DEPTH}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {shown(name)!r} is there twice")
        found[name] = value
    return found


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON's")


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError("a number has too many digits")
    return int(text)


def _number(text: str) -> float:
    if len(text) > _DIGITS:
        raise ValueError("a number has too many digits")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large a number")
    return value
