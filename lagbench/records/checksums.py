"""Checksums that verify the files of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

KEY = "checksum"


def sealed(data: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON document with a checksum of its values added under ``KEY``."""
    return {**data, KEY: _digest(data)}


def is_whole(data: Mapping[str, Any]) -> bool:
    """Whether a sealed document matches its checksum."""
    return data.get(KEY) == _digest(data)


def sha256(content: bytes) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def _digest(data: Mapping[str, Any]) -> str:
    values = {k: v for k, v in data.items() if k != KEY}
    return sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())
