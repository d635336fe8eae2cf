"""Collect a source by following the imports of its files without executing them."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import pkgutil
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import SOURCE_SUFFIXES, FrozenImporter, ModuleSpec
from pathlib import Path

from lagbench.errors import UsageError
from lagbench.source.files import Source, module_name

_INIT = "__init__.py"
_SITES = {"site-packages", "dist-packages"}


def collect(file: Path) -> Source:
    """The source of an algorithm in a file.

    Modules are found as for a script: first in the file's directory, then on Python's path. A file with relative
    imports is a module of the package in its directory, as for ``python -m``. Raises UsageError for a file that cannot
    be read or is not Python, and for a compiled module.
    """
    real = file.resolve()
    content = _read(file)
    root = real.parent
    relative = any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(_parsed(content, str(file))))
    if relative or real.name == _INIT:
        while (root / _INIT).is_file():
            root = root.parent
    main = (real.parent.relative_to(root) / file.name).as_posix()
    return _Walk(root).source(main, content, str(file))


def collect_text(name: str, content: bytes) -> Source:
    """The source of an algorithm given as text, as if it were the file ``name`` in the working directory."""
    return _Walk(Path.cwd()).source(name, content, name)


def collect_copy(file: Path, root: Path) -> Source:
    """The source in a directory that contains nothing else.

    Args:
        file: the main module.
        root: the directory.

    Returns:
        All modules of the directory.

    Raises:
        UsageError: a module cannot be read or is never imported.
    """
    return _Walk(root, closed=True).source(file.relative_to(root).as_posix(), _read(file), str(file))


class _Walk:
    """Traversal from a main module to everything that it imports.

    Args:
        root: the directory that is searched first.
        closed: whether only it is searched, and everything in it belongs to the source.
    """

    def __init__(self, root: Path, *, closed: bool = False) -> None:
        importlib.invalidate_caches()  # for files that were just created
        self._root = root
        self._closed = closed
        self._found: dict[tuple[str, bool], ModuleSpec | None] = {}

    def source(self, main: str, content: bytes, read_from: str) -> Source:
        files, places = {main: content}, {main: read_from}
        waiting = [main]
        while waiting:
            path = waiting.pop()
            for name, beside in self._imported(path, _parsed(files[path], places[path])):
                spec = self._find(name, beside)
                if spec is None or spec.origin is None:
                    continue
                found = name.replace(".", "/") + (".py" if spec.submodule_search_locations is None else f"/{_INIT}")
                if found not in files:
                    files[found], places[found] = _read(Path(spec.origin)), spec.origin
                    waiting.append(found)
        return Source(main, files, places)

    def _imported(self, path: str, tree: ast.Module) -> Iterator[tuple[str, bool]]:
        """Names that may be modules, parents first, and whether to search only in the main module's directory."""
        name = module_name(path)
        package = name.split(".") if path.endswith(_INIT) else name.split(".")[:-1]
        yield from ((one, False) for one in _prefixes(".".join(package)))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from ((one, False) for alias in node.names for one in _prefixes(alias.name))
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *filter(None, [node.module])])
                beside = bool(node.level) and not above
                yield from ((one, beside) for one in _prefixes(base))
                for alias in node.names:
                    for last in self._submodules(base, beside) if alias.name == "*" else [alias.name]:
                        yield (f"{base}.{last}" if base else last, beside)

    def _submodules(self, package: str, beside: bool) -> list[str]:
        spec = self._find(package, beside) if package else None
        locations = None if spec is None else spec.submodule_search_locations
        return [module.name for module in pkgutil.iter_modules(locations)] if locations is not None else []

    def _find(self, name: str, beside: bool) -> ModuleSpec | None:
        """A module by dotted name; None if there is none or it does not belong to the source."""
        key = name, beside
        if key not in self._found:
            spec = self._located(name, beside)
            self._found[key] = spec if spec is not None and self._is_own(spec) else None
        return self._found[key]

    def _located(self, name: str, beside: bool) -> ModuleSpec | None:
        package = name.rpartition(".")[0]
        if package:
            above = self._find(package, beside)
            locations = None if above is None else above.submodule_search_locations
            return None if locations is None else _search(name, locations)
        here = _search(name, [str(self._root)])
        if beside:
            return here
        # Built-in modules take precedence over any path; lagbench is never part of a source.
        if name in {"lagbench", *sys.builtin_module_names} or FrozenImporter.find_spec(name):
            return None
        # A directory without __init__.py (namespace package) yields to a module elsewhere.
        if self._closed or (here is not None and here.origin is not None):
            return here
        try:
            there = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            there = None
        return there if here is None or (there is not None and there.origin is not None) else here

    def _is_own(self, spec: ModuleSpec) -> bool:
        """Whether a module belongs to the source. Raises UsageError if it does but is compiled."""
        if spec.origin is None:
            return any(self._closed or not is_installed(Path(place)) for place in spec.submodule_search_locations or ())
        if spec.origin in ("built-in", "frozen") or not (self._closed or not is_installed(Path(spec.origin))):
            return False
        if not spec.origin.endswith(tuple(SOURCE_SUFFIXES)) or not Path(spec.origin).is_file():
            raise UsageError(f"{spec.origin} is not a Python source file, so a run cannot copy it; install it")
        return True


def _search(name: str, places: Iterable[str]) -> ModuleSpec | None:
    """Find a module as the import system does, but without importing its parent packages."""
    directories: list[str] = []
    for place in places:
        finder = pkgutil.get_importer(place)
        spec = None if finder is None else finder.find_spec(name)
        if spec is not None and spec.loader is not None:
            return spec
        directories += (spec and spec.submodule_search_locations) or []
    if not directories:
        return None
    package = ModuleSpec(name, None, is_package=True)
    package.submodule_search_locations = directories
    return package


def is_installed(file: Path) -> bool:
    """Whether a module file or a directory of modules belongs to Python or an installed distribution."""
    file = file.absolute()
    return bool(_SITES & {*file.parts}) or any(map(file.is_relative_to, _library())) or _is_recorded(file)


@functools.cache
def _library() -> tuple[Path, ...]:
    places = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
    return tuple({path for place in places for path in (Path(place), Path(place).resolve())})


def _is_recorded(file: Path) -> bool:
    """Whether a distribution in the same directory lists the module, as after ``pip install --target``."""
    for root in {Path(entry).absolute() for entry in sys.path}:
        if file.is_relative_to(root):
            name = file.relative_to(root).as_posix()
            for record in root.glob("*.dist-info/RECORD"):
                if any(line.startswith((f"{name},", f"{name}/")) for line in record.read_text("utf-8").splitlines()):
                    return True
    return False


def _prefixes(name: str) -> list[str]:
    parts = name.split(".") if name else []
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be read: {error.strerror or error}") from error


def _parsed(content: bytes, name: str) -> ast.Module:
    try:
        return ast.parse(content, name)
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"{name!r} cannot be imported: {type(error).__name__}: {error}") from error
