"""Lossless conversion of nested dataclasses to and from JSON."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Self, Union, get_args, get_origin, get_type_hints

FORMAT_VERSION = 1


class Kept:
    """A dataclass that can be kept: its fields are dataclasses, tuples, mappings and what JSON has."""

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        data: Any = self
        return {"format_version": FORMAT_VERSION, **dataclasses.asdict(data)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], /) -> Self:
        """The inverse of ``to_json``. Raises KeyError, TypeError or ValueError for what is none."""
        if data["format_version"] != FORMAT_VERSION:
            raise ValueError("another format")
        found = _read(cls, data)
        assert isinstance(found, cls)
        return found


def _read(kind: Any, data: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        (inner,) = [k for k in get_args(kind) if k is not type(None)]
        return None if data is None else _read(inner, data)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: _read(hints[f.name], data[f.name]) for f in dataclasses.fields(kind)})
    if get_origin(kind) is tuple:
        inner, *rest = get_args(kind)
        kinds = [inner] * len(data) if rest == [...] else [inner, *rest]
        return tuple(_read(k, x) for k, x in zip(kinds, data, strict=True))
    if isinstance(data, Mapping):
        return {k: _read(get_args(kind)[1], v) for k, v in data.items()}
    return data
