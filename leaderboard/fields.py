"""JSON held to the fields that it must have, each of its type: what lies in a repository is read, not believed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from lagbench import LagbenchError

Kind = Callable[[Any], Any]
"""Gives the value that it is given, where it is of this kind; raises ``WrongError``."""
_SHOWN = 60


class WrongError(Exception):
    """A value is not of its kind: what it must be, what it is, and where in the field it stands."""

    def __init__(self, noun: str, value: Any, place: str = "") -> None:
        super().__init__(noun)
        self.noun = noun
        self.value = value
        self.place = place


def fields(data: Any, what: str, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The values of an object with exactly these fields. Raises LagbenchError, which names the first that is wrong."""
    if not isinstance(data, dict):
        raise LagbenchError(f"{what} must be an object, not {shown(data)}")
    for name in kinds:
        if name not in data:
            raise LagbenchError(f"{what} lacks {name!r}")
    for name in data:
        if name not in kinds:
            raise LagbenchError(f"{what} has {shown(name)}, which is none of its fields ({', '.join(kinds)})")
    return {name: _value(data[name], what, name, kind) for name, kind in kinds.items()}


def shown(value: Any) -> str:
    """A value, cut short."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def text(value: Any) -> str:
    """Text."""
    return str(_of(value, "text", isinstance(value, str)))


def whole(value: Any) -> int:
    """A whole number, 0 or more."""
    return int(_of(value, "a whole number", type(value) is int and value >= 0))


def count(value: Any) -> int:
    """A whole number, 1 or more."""
    return int(_of(value, "a whole number, 1 or more", type(value) is int and value >= 1))


def number(value: Any) -> float:
    """A finite number."""
    return float(_of(value, "a number", type(value) in (int, float) and math.isfinite(value)))


def flag(value: Any) -> bool:
    """True or false."""
    return bool(_of(value, "true or false", type(value) is bool))


def mapping(value: Any) -> dict[str, Any]:
    """An object, whatever it holds."""
    return dict(_of(value, "an object", isinstance(value, dict)))


def listing(value: Any) -> list[Any]:
    """A list, whatever it holds."""
    return list(_of(value, "a list", isinstance(value, list)))


def optional(kind: Kind) -> Kind:
    """That kind, or null."""
    return lambda value: None if value is None else kind(value)


def several(kind: Kind) -> Kind:
    """A list of them, as a tuple."""

    def read(value: Any) -> Any:
        return tuple(_element(one, i, kind) for i, one in enumerate(listing(value)))

    return read


def one_of(*names: str) -> Kind:
    """One of these texts."""
    return lambda value: _of(value, f"one of {', '.join(names)}", isinstance(value, str) and value in names)


def _value(value: Any, what: str, name: str, kind: Kind) -> Any:
    try:
        return kind(value)
    except WrongError as wrong:
        place = f"{name}{wrong.place}"
        raise LagbenchError(f"{what}: {place!r} must be {wrong.noun}, not {shown(wrong.value)}") from None


def _element(value: Any, i: int, kind: Kind) -> Any:
    try:
        return kind(value)
    except WrongError as wrong:
        raise WrongError(wrong.noun, wrong.value, f"[{i}]{wrong.place}") from None


def _of(value: Any, noun: str, right: bool) -> Any:
    if not right:
        raise WrongError(noun, value)
    return value
