"""The source of a class that is passed as an object."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from lagbench.errors import UsageError
from lagbench.source import notebook
from lagbench.source.files import Source
from lagbench.source.imports import collect, collect_text, is_installed


def source_of_class(cls: type) -> tuple[str, Source]:
    """A class as ``path/to/file.py:Class``, and its source: its module's file, or one made from notebook cells.

    Raises UsageError for a class that a run could not load from there, and for one of an installed distribution.
    """
    name = cls.__name__
    if cls.__qualname__ != name:
        raise UsageError(
            f"{cls.__qualname__} is defined inside a function or class and cannot be loaded by a run; move it to the "
            f"top level of a file"
        )
    found = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if found is None:
        return f"{notebook.FILE}:{name}", collect_text(notebook.FILE, notebook.text_of(cls).encode())
    file = Path(found)
    if is_installed(file):
        raise UsageError(f"{name} is installed, in {file}, but has no entry point; add one")
    shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
    return f"{shown}:{name}", collect(shown)


def check_same(cls: type, name: str, loaded: Any) -> None:
    """Raise UsageError if a class differs from its file because one of them was changed after the import."""
    # Not for notebooks, whose text cannot have changed and compiles differently in a cell.
    if getattr(sys.modules.get(cls.__module__), "__file__", None) and _content(cls) != _content(loaded):
        raise UsageError(
            f"{cls.__name__} is not what {name} is now, because one of them has changed; import it again, or give "
            f"{name!r}"
        )


def _content(value: Any) -> Any:
    """The comparable content of a class, a function or a constant."""
    if isinstance(value, type):
        own = {k: v for k, v in vars(value).items() if not k.startswith("__") or k == "__init__"}
        return {k: _content(v) for k, v in own.items()}
    if isinstance(value, FunctionType):
        return _content(inspect.unwrap(value).__code__)
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, [_content(constant) for constant in value.co_consts]
    if isinstance(value, Mapping):
        return {str(k): _content(v) for k, v in value.items()}
    return value if isinstance(value, bool | int | float | str | tuple | frozenset | None) else type(value).__name__
