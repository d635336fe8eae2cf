"""Load a source as separate modules, isolated from other sources and from the process's modules."""

from __future__ import annotations

import builtins
import contextlib
import hashlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from lagbench.errors import UsageError, reason
from lagbench.source.files import Source, module_name
from lagbench.source.imports import is_installed

_importing = threading.local()


def load(source: Source) -> ModuleType:
    """The main module of a source, always the same object. Raises UsageError if it cannot be imported."""
    # One per place, so that errors name the file that was given.
    digest = hashlib.sha256(source.sha256.encode() + os.fsencode(source.place)).hexdigest()
    package = f"lagbench_source_{digest[:16]}"
    if package not in _finders:
        _finders[package] = _Finder(package, source)
        sys.meta_path.append(_finders[package])
    with _noted():
        try:
            return importlib.import_module(f"{package}.{module_name(source.main)}")
        except Exception as error:
            raise UsageError(f"{source.place!r} cannot be imported: {reason(error)}") from error


def is_alike(name: str, module: str) -> bool:
    """Whether two modules, by name, belong to the same source. An installed module is a source by itself."""
    package = module.partition(".")[0]
    return name.partition(".")[0] == package if package in _finders else name == module


def refuse_while_importing() -> None:
    """Raise UsageError if a source calls this during its import: it would start a run whenever it is loaded."""
    if getattr(_importing, "depth", 0):
        raise UsageError(
            "it starts a run when it is imported, which loading its algorithm does; move what starts the run below: if "
            '__name__ == "__main__":'
        )


@contextlib.contextmanager
def _noted() -> Iterator[None]:
    _importing.depth = getattr(_importing, "depth", 0) + 1
    try:
        yield
    finally:
        _importing.depth -= 1


class _Finder(MetaPathFinder, Loader):
    """Finder and loader of one source's modules, in a package of their own."""

    def __init__(self, package: str, source: Source) -> None:
        self._package = package
        self._source = source
        self._paths = {module_name(path): path for path in source.files}
        self._tops = {name.partition(".")[0] for name in self._paths}
        self._installed: set[str] = set()

    def find_spec(self, fullname: str, path: Sequence[str] | None, _: ModuleType | None = None) -> ModuleSpec | None:
        """See ``MetaPathFinder``."""
        package, _dot, name = fullname.partition(".")
        if package != self._package:
            return None
        if name in self._paths:
            return spec_from_loader(fullname, self, is_package=self._paths[name].endswith("/__init__.py"))
        # A directory without __init__.py, such as the root.
        is_directory = not name or any(other.startswith(f"{name}.") for other in self._paths)
        return spec_from_loader(fullname, self, is_package=True) if is_directory else None

    def exec_module(self, module: ModuleType) -> None:
        """See ``Loader``."""
        path = self._paths.get(module.__name__.partition(".")[2])
        if path is None:
            return
        module.__file__ = self._source.read_from.get(path, path)
        # Import statements call this __import__, which resolves the source's own modules by the names that it uses.
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._import}
        exec(compile(self._source.files[path], module.__file__, "exec", dont_inherit=True), vars(module))

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if not level and top in self._tops:
            found = builtins.__import__(f"{self._package}.{name}", globals, locals, fromlist or (), 0)
            return found if fromlist else sys.modules[f"{self._package}.{top}"]
        found = builtins.__import__(name, globals, locals, fromlist or (), level)
        if not level and top != "lagbench" and name not in self._installed:
            self._check_installed(name)
            self._installed.add(name)
        return found

    def _check_installed(self, name: str) -> None:
        """Raise UsageError for a module that is neither installed nor in the source: the run would lack a copy."""
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and not is_installed(Path(file)):
            raise UsageError(
                f"{name} is imported from {file}, which was found through sys.path and would not be copied into the "
                f"run; put it next to {Path(self._source.place).name}, set PYTHONPATH, or install it"
            )


_finders: dict[str, _Finder] = {}
