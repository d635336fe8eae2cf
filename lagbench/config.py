"""Conversion of user input to declared types: checked names and ranges, lossless JSON."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

from lagbench.errors import AlgorithmError, UsageError, unknown

_NOUNS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    types.NoneType: "none",
}
_EXPONENTS = {"k": 3, "m": 6, "b": 9, "g": 9}
_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True, kw_only=True)
class Range:
    """The valid range of a number, declared with its type: ``clip: Annotated[float, Range(gt=0)] = 0.2``.

    Attributes:
        gt: values are greater than this.
        ge: values are at least this.
        lt: values are less than this.
        le: values are at most this.
    """

    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None

    def __contains__(self, number: float) -> bool:
        return (
            (self.gt is None or number > self.gt)
            and (self.ge is None or number >= self.ge)
            and (self.lt is None or number < self.lt)
            and (self.le is None or number <= self.le)
        )

    def __str__(self) -> str:
        """A phrase that follows "a number": ``in (0, 1]``, ``above 0``."""
        low = None if self.gt is self.ge is None else f"({self.gt}" if self.ge is None else f"[{self.ge}"
        high = None if self.lt is self.le is None else f"{self.lt})" if self.le is None else f"{self.le}]"
        if low and high:
            return f"in {low}, {high}"
        if low:
            return f"above {self.gt}" if self.ge is None else f"at least {self.ge}"
        return f"below {self.lt}" if self.le is None else f"at most {self.le}"


INT32, INT64 = 2**31 - 1, 2**63 - 1
"""The largest numbers that the integer columns of the records can hold."""
Count = Annotated[int, Range(ge=1, le=INT32)]
"""A count that records contain."""


def parse_number(text: str) -> float:
    """A number as people write it: ``1M``, ``1e6``, ``1_000_000``, ``0.5``. Raises ValueError."""
    body = text.strip().lower()
    if body and body[-1] in _EXPONENTS:
        # Parsed with an exponent, not multiplied: 1.001 × 1000 is not 1001 in binary.
        return float(f"{body[:-1].rstrip()}e{_EXPONENTS[body[-1]]}")
    return float(body)


def parse_integer(text: str) -> int:
    """A whole number as people write it. Raises ValueError if it is not one."""
    try:
        return int(text)
    except ValueError:
        value = parse_number(text)
        if value % 1:  # infinity and NaN included
            raise ValueError(f"{text!r} is not a whole number") from None
        return int(value)


def make_config(
    cls: type[Any], preset: Mapping[str, Any], overrides: Mapping[str, Any], *, what: str = "hyperparameter"
) -> Any:
    """Create a ``Config`` of an algorithm or lag mode: its defaults, overridden by a preset, then by the user.

    Strings are parsed as the field's type. Raises UsageError for an unknown name (of a ``what``), a value of another
    type or out of range; AlgorithmError for a field whose type JSON cannot represent or whose default is not valid.
    """
    kinds = field_types(cls)
    for name in (*preset, *overrides):
        if name not in kinds:
            raise unknown(what, str(name), kinds)
    values = {name: coerce(name, kinds[name], x) for name, x in {**preset, **overrides}.items()}
    for f in dataclasses.fields(cls):
        if f.name not in values:
            _check_default(f, kinds[f.name])
    return cls(**values)


def _check_default(field: dataclasses.Field[Any], kind: Any) -> None:
    name, default = f"the default of Config.{field.name}", field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    if default is dataclasses.MISSING:
        raise AlgorithmError(f"Config.{field.name} has no default; give it one that suits every task")
    try:
        same = coerce(name, kind, default) == default
    except UsageError as error:
        raise AlgorithmError(str(error)) from None
    if not same:
        raise AlgorithmError(f"{name} does not match its type; change one of them")


def field_types(cls: type[Any]) -> dict[str, Any]:
    """The fields of a Config class and their types, with ranges.

    A field that a subclass redeclares, for example with another default, keeps its range unless it declares one. Raises
    AlgorithmError for an unsupported type.
    """
    kinds: dict[str, Any] = {}
    for base in reversed([base for base in cls.__mro__ if dataclasses.is_dataclass(base)]):
        try:
            hints = typing.get_type_hints(base, include_extras=True)
        except NameError as error:
            raise AlgorithmError(f"Config has a field whose type cannot be resolved: {error}") from error
        for name in inspect.get_annotations(base):
            inherited = [] if _ranges(hints[name]) else _ranges(kinds.get(name))
            kinds[name] = Annotated[hints[name], *inherited] if inherited else hints[name]
    kinds = {f.name: kinds[f.name] for f in dataclasses.fields(cls)}
    for name, kind in kinds.items():
        if not all(option in _NOUNS or get_origin(option) is Literal for option in _options(kind)):
            raise unsupported(name, kind)
    return kinds


def unsupported(name: str, kind: Any) -> AlgorithmError:
    """The error for a field of a Config whose type JSON cannot represent."""
    described = getattr(kind, "__name__", None) or str(kind)
    return AlgorithmError(
        f"Config.{name} has type {described}; use bool, int, float, str, a Literal, or one of them | None"
    )


def parsed(rest: Callable[..., Any] | None = None) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a function to convert its keyword arguments to their declared types; text is parsed as on the CLI.

    The function then raises UsageError for an unknown argument, with the nearest known one, and for a value of another
    type or out of range. ``rest`` is a function decorated likewise, which receives its ``**`` arguments.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> _R:
            kinds = _arguments(call)
            for name in given:
                if name not in kinds:
                    raise unknown("option", name, kinds)
            return function(*args, **{name: coerce(name, kinds[name], x) for name, x in given.items()})

        vars(call)["rest"] = rest
        return call

    return decorate


@functools.cache
def _arguments(function: Any) -> dict[str, Any]:
    """The keyword-only arguments of a ``parsed`` function and their types, including those of its ``rest``."""
    hints = typing.get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    own = {p.name: hints[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY}
    return (_arguments(function.rest) if function.rest else {}) | own


def check_fields(instance: Any) -> None:
    """Raise UsageError if a field of a dataclass has another type than declared or is out of range."""
    cls: Any = type(instance)
    for name, kind in _fields(cls).items():
        value = getattr(instance, name)
        if type(coerce(name, kind, value)) is not type(value):
            raise UsageError(f"{name} must be {describe(kind)}, not {value!r}")


@functools.cache
def _fields(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def coerce(name: str, kind: Any, value: Any) -> Any:
    """``value`` as the type ``kind``, from a string or a Python value. Raises UsageError."""
    options = _options(kind)
    for option in sorted(options, key=lambda option: option is not types.NoneType):
        try:
            read = _read(option, value)
        except (ValueError, TypeError, KeyError, OverflowError):
            continue
        for numbers in _ranges(kind):
            if isinstance(read, (int, float)) and not isinstance(read, bool) and read not in numbers:
                raise UsageError(f"{name} must be {numbers}, not {read}")
        return read
    for option in options:
        if get_origin(option) is Literal:
            raise unknown(f"{name} value", str(value), map(str, get_args(option)))
    raise UsageError(f"{name} must be {describe(kind)}, not {value!r}")


def _read(option: Any, value: Any) -> Any:
    if get_origin(option) is Literal:
        for choice in get_args(option):
            if value == choice or str(value) == str(choice):
                return choice
        raise ValueError
    if option is types.NoneType:
        if value is None or (isinstance(value, str) and value.lower() == "none"):
            return None
        raise ValueError
    if option is bool:
        if isinstance(value, bool):
            return value
        return {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}[str(value).lower()]
    if option in (int, float) and isinstance(value, bool):
        raise TypeError
    if option is int:
        return parse_integer(value) if isinstance(value, str) else _whole(value)
    if option is float:
        number = parse_number(value) if isinstance(value, str) else float(value)
        if math.isnan(number):  # not equal to itself, so specifications could not be compared
            raise ValueError
        return number
    if option is not Any and not isinstance(value, get_origin(option) or option):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if value % 1:  # infinity and NaN included
        raise ValueError
    return int(value)


def describe(kind: Any) -> str:
    """The valid values of a type in words: ``a number above 0 or none``."""
    numbers = "".join(f" {numbers}" for numbers in _ranges(kind))
    return " or ".join(_name(option) + (numbers if option in (int, float) else "") for option in _options(kind))


def _name(option: Any) -> str:
    if get_origin(option) is Literal:
        return " or ".join(map(repr, get_args(option)))
    if get_origin(option) is type:
        return "a class"
    if get_origin(option) in (tuple, Sequence):
        return "whole numbers"
    return _NOUNS.get(option) or getattr(option, "__name__", None) or str(option)


def _options(kind: Any) -> list[Any]:
    """The plain types that a value may have."""
    if get_origin(kind) is Annotated:
        return _options(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return [option for part in get_args(kind) for option in _options(part)]
    return [kind]


def _ranges(kind: Any) -> list[Range]:
    """The ranges declared with a type or a part of it."""
    if get_origin(kind) not in (Annotated, Union, types.UnionType):
        return []
    return [r for part in get_args(kind) for r in ([part] if isinstance(part, Range) else _ranges(part))]
