"""Untrusted JSON as typed structures, with one-sentence errors."""

from __future__ import annotations

import re
from typing import Annotated, TypeVar

import msgspec

from lagbench import LagbenchError
from lagbench.leaderboard.text import shown

NAME, URL, LONG, PROSE = 60, 300, 1_000, 4_000
"""Maximum number of characters of a name or key, a URL, another text, and each part of a statement."""
INT64 = 2**63 - 1

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Version = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z.+!_-]{1,60}\Z")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME)]
Seed = Annotated[int, msgspec.Meta(ge=0, le=INT64)]
Count = Annotated[int, msgspec.Meta(ge=0, le=INT64)]
_T = TypeVar("_T")
_WHERE = re.compile(r"(?P<what>.*?)(?: - at `(?P<where>[^`]*)`)?", re.DOTALL)


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a document; unknown fields are refused."""


def encode(document: Document) -> bytes:
    """Encode a document in canonical form, so that equal documents have equal hashes."""
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=1) + b"\n"


def decode(kind: type[_T], content: bytes, name: str) -> _T:
    """Decode a document. Raises LagbenchError, with ``name``, unless the bytes are those that ``encode`` writes.

    This excludes duplicate keys, numbers that change when read, and additional content.
    """
    try:
        found = msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise LagbenchError(f"{name}: {_sentence(error)}") from None
    assert isinstance(found, Document)
    if encode(found) != content:
        raise LagbenchError(f"{name}: it is not formatted as by submit, with sorted keys and an indent of 1")
    return found


def _sentence(error: Exception) -> str:
    """Turn an error such as ``Expected `str`, got `int` - at `$.authors[...]``` into a sentence."""
    found = _WHERE.fullmatch(str(error))
    assert found is not None
    what = found["what"].replace("`", "")
    what = what if what.startswith("JSON") else what[:1].lower() + what[1:]
    where = (found["where"] or "").removeprefix("$").lstrip(".")
    return shown(f"{where}: {what}" if where else what)
