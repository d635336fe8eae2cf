"""Hyperparameters from what a user gives: names checked, values of the declared type, JSON without loss."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin

from lagbench.errors import AlgorithmError, UsageError, unknown

_SCALARS = (bool, int, float, str)
_EXPONENTS = {"k": 3, "m": 6, "b": 9, "g": 9}


def parse_number(text: str) -> float:
    """A number as people write it: ``1M``, ``1e6``, ``1_000_000``, ``0.5``. Raises ValueError."""
    body = text.strip().lower()
    if body and body[-1] in _EXPONENTS:
        # Read as one number, not multiplied: 1.001 × 1000 is not 1001 in binary.
        return float(f"{body[:-1].rstrip()}e{_EXPONENTS[body[-1]]}")
    return float(body)


def parse_integer(text: str) -> int:
    """A whole number as people write it. Raises ValueError, also where it is not whole."""
    try:
        return int(text)
    except ValueError:
        value = parse_number(text)
        if value % 1:  # infinity and NaN included
            raise ValueError(f"{text!r} is not a whole number") from None
        return int(value)


def make_config(cls: type[Any], preset: Mapping[str, Any], overrides: Mapping[str, Any]) -> Any:
    """An instance of an algorithm's ``Config``: its defaults, changed by a preset, changed by the user.

    Strings are read as the field's type. Raises UsageError for an unknown name or a value of another type,
    AlgorithmError for a field whose type cannot go through JSON.
    """
    kinds = field_types(cls)
    for name in (*preset, *overrides):
        if name not in kinds:
            raise unknown("hyperparameter", name, kinds)
    values = {name: coerce(name, kinds[name], x) for name, x in {**preset, **overrides}.items()}
    for f in dataclasses.fields(cls):
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING and f.name not in values:
            raise AlgorithmError(f"Config.{f.name} has no default; give it one")
    return cls(**values)


def field_types(cls: type[Any]) -> dict[str, Any]:
    """The fields of a Config class and their types. Raises AlgorithmError for a type that is not supported."""
    try:
        hints = typing.get_type_hints(cls)
    except NameError as error:
        raise AlgorithmError(f"Config has a field of a type that cannot be found: {error}") from error
    kinds = {f.name: hints[f.name] for f in dataclasses.fields(cls)}
    for name, kind in kinds.items():
        if not all(option in _SCALARS or get_origin(option) is Literal for option in _options(kind)):
            raise AlgorithmError(
                f"Config.{name} has type {_describe(kind)}; use bool, int, float, str, a Literal, or one of them | None"
            )
    return kinds


def coerce(name: str, kind: Any, value: Any) -> Any:
    """``value`` as the type ``kind``, from a string or a Python value. Raises UsageError."""
    if _nullable(kind) and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    for option in _options(kind):
        try:
            return _read(option, value)
        except (ValueError, TypeError, KeyError, OverflowError):
            continue
    for option in _options(kind):
        if get_origin(option) is Literal:
            raise unknown(f"{name} value", str(value), map(str, get_args(option)))
    raise UsageError(f"{name} must be {_describe(kind)}, not {value!r}")


def _read(option: Any, value: Any) -> Any:
    if get_origin(option) is Literal:
        for choice in get_args(option):
            if value == choice or str(value) == str(choice):
                return choice
        raise ValueError
    if option is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}[str(value).lower()]
    if isinstance(value, bool):
        raise TypeError
    if option is int:
        return parse_integer(value) if isinstance(value, str) else _whole(value)
    if option is float:
        number = parse_number(value) if isinstance(value, str) else float(value)
        if math.isnan(number):  # equal to nothing, itself included: no specification could be compared
            raise ValueError
        return number
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if value % 1:  # infinity and NaN included
        raise ValueError
    return int(value)


def _options(kind: Any) -> list[Any]:
    if get_origin(kind) in (Union, types.UnionType):
        return [k for k in get_args(kind) if k is not type(None)]
    return [kind]


def _nullable(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind)


def _describe(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return getattr(kind, "__name__", None) or str(kind)
