"""Functions that create tasks and networks, given as ``module:function`` or ``path/to/file.py:function``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from lagbench.errors import LagbenchError, UsageError, unknown
from lagbench.source import known, loading
from lagbench.source.files import Source
from lagbench.source.imports import collect, is_installed

_SUFFIX = ".py"


@dataclass(frozen=True)
class FunctionSource:
    """A function by name, ``module:function`` or ``path/to/file.py:function``, and the SHA-256 of its source."""

    name: str
    sha256: str

    @property
    def source(self) -> Source | None:
        """Its source, for a run to copy; None if installed. Raises UsageError if it is not found."""
        return find(self.name, self.sha256)[0]

    def load(self) -> Callable[..., Any]:
        """The function. Raises UsageError as ``load``."""
        return load(self.name, self.source)


def identify(target: str) -> FunctionSource:
    """Identify a function in its current state. Raises UsageError if there is none."""
    if ":" not in target:
        raise UsageError(f"a function is named as path/to/file.py:function or module:function, not {target!r}")
    return FunctionSource(target, find(target)[1])


def find(target: str, sha256: str | None = None) -> tuple[Source | None, str]:
    """The source of a function and its digest; for an installed one None and the digest of its file.

    The current source, or the one with the digest ``sha256``. Raises UsageError if there is none.
    """
    place = target.rpartition(":")[0]
    try:
        file = Path(place) if place.endswith(_SUFFIX) else _module_file(place)
    except UsageError:
        if sha256 is None:
            raise
        file = Path(place.rpartition(".")[2] + _SUFFIX)  # a run may contain a copy
    if not place.endswith(_SUFFIX) and is_installed(file):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if sha256 not in (None, digest):
            raise UsageError(f"the source of {target} has changed since this run was specified; restore {file}")
        return None, digest
    source = known.remember(_collected(file)) if sha256 is None else known.find(target, sha256, file, _collected)
    return source, source.sha256


def load(target: str, source: Source | None) -> Callable[..., Any]:
    """The function, from its source or the installed module. Raises UsageError if there is none."""
    place, _, name = target.rpartition(":")
    if source is not None:
        module = loading.load(source)
    else:
        try:
            module = importlib.import_module(place)
        except LagbenchError:
            raise
        except Exception as error:
            raise _not_found(place, f"{type(error).__name__}: {error}") from error
    function: Callable[..., Any] | None = getattr(module, name, None)
    if not callable(function) or not hasattr(module, "__file__"):
        own = [v for v in vars(module).values() if isinstance(v, FunctionType) and v.__module__ == module.__name__]
        there = [v.__name__ for v in own if not v.__name__.startswith("_")]
        raise unknown(f"function in {place}", name, there)
    return function


def is_file(target: str) -> bool:
    """Whether a function is named by its file."""
    return target.rpartition(":")[0].endswith(_SUFFIX)


def _module_file(name: str) -> Path:
    try:
        spec = importlib.util.find_spec(name)
    except Exception as error:
        raise _not_found(name, f"{type(error).__name__}: {error}") from error
    if spec is None or not spec.has_location or spec.origin is None:
        raise _not_found(name, f"ModuleNotFoundError: No module named {name!r}")
    return Path(spec.origin)


def _not_found(name: str, reason: str) -> UsageError:
    return UsageError(f"{name!r} cannot be imported: {reason}; a file is given as path/to/file.py:function")


def _collected(file: Path) -> Source:
    if not file.is_file():
        raise UsageError(f"there is no file {str(file)!r}; name your own function as path/to/file.py:function")
    return collect(file)
