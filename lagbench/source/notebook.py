"""The source of a class defined in a notebook or at a prompt, as a file."""

from __future__ import annotations
import __future__

import ast
import inspect
import linecache
import symtable
import sys
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from lagbench.errors import UsageError

FILE = "notebook.py"
_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def text_of(cls: type) -> str:
    """A module with the class, the notebook's classes and functions that it uses, and their imports and constants.

    Raises UsageError if it uses anything else, or if its text is not available: only IPython, and Python since 3.13,
    keep what was typed.
    """
    found = _Definitions(cls)
    found.add(cls.__name__, cls)
    return "\n".join([*sorted(found.futures), *found.statements]) + "\n"


class _Definitions:
    """The statements that define a class and the names that it needs, dependencies first."""

    def __init__(self, cls: type) -> None:
        self.futures: set[str] = set()
        self.statements: list[str] = []
        self._asked = cls.__name__
        self._notebook = sys.modules[cls.__module__]
        self._seen: set[str] = set()

    def add(self, name: str, value: Any) -> None:
        if name in self._seen:
            return
        self._seen.add(name)
        if isinstance(value, type | FunctionType) and value.__module__ == self._notebook.__name__:
            if name != value.__name__:
                self.add(value.__name__, value)
                self.statements.append(f"{name} = {value.__name__}")
                return
            text = self._text(value)
            for used in _globals(text):
                if used in vars(self._notebook):
                    self.add(used, vars(self._notebook)[used])
            self.statements.append(text)
        else:
            self.statements.append(self._taken(name, value))

    def _text(self, value: type | FunctionType) -> str:
        for code in _codes(value):
            lines = linecache.getlines(code.co_filename)
            nodes = [n for n in _parsed(lines) if isinstance(n, _DEFINITIONS) and n.name == value.__name__]
            if nodes:
                first = min(n.lineno for n in (nodes[-1], *nodes[-1].decorator_list))
                if code.co_flags & __future__.annotations.compiler_flag:
                    self.futures.add("from __future__ import annotations")
                return "".join(lines[first - 1 : nodes[-1].end_lineno]).rstrip("\n")
        raise UsageError(f"Python has no source text of {value.__name__}{self._advice()}")

    def _taken(self, name: str, value: Any) -> str:
        """A statement that defines a name: one of the notebook's imports, or a constant."""
        if isinstance(value, ModuleType):
            # `import a.b` binds a.
            below = [m for m, own, bound in _imports() if own is None and bound == name and m.startswith(f"{name}.")]
            return "\n".join(f"import {m}" for m in dict.fromkeys(below)) or f"import {value.__name__} as {name}"
        for module, own, bound in _imports():
            own = name if own == "*" else own
            if bound in (name, "*") and own and vars(sys.modules.get(module, self._notebook)).get(own) is value:
                return f"from {module} import {own} as {name}"
        try:
            if ast.literal_eval(repr(value)) == value:
                return f"{name} = {value!r}"
        except (ValueError, SyntaxError):
            pass
        raise UsageError(
            f"{self._asked} uses {name}, which cannot be expressed as an import or a constant{self._advice()}"
        )

    def _advice(self) -> str:
        return f"; put {self._asked} and everything it uses into a file, and give path/to/file.py:{self._asked}"


def _imports() -> Iterator[tuple[str, str | None, str]]:
    """For each import in a cell: the module, the imported name (None: the module itself), and the bound name."""
    for cell in list(linecache.cache.values()):
        # Entries that are not files have no modification time.
        lines = cell[2] if len(cell) > 1 and cell[1] is None else []
        for node in (inner for statement in _parsed(lines) for inner in ast.walk(statement)):
            if isinstance(node, ast.Import):
                yield from ((a.name, None, a.asname or a.name.partition(".")[0]) for a in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield from ((node.module, a.name, a.asname or a.name) for a in node.names)


def _codes(value: type | FunctionType) -> Iterator[CodeType]:
    functions = vars(value).values() if isinstance(value, type) else (value,)
    for function in functions:
        inner = inspect.unwrap(function) if callable(function) else None
        if isinstance(inner, FunctionType):
            yield inner.__code__


def _parsed(lines: list[str]) -> list[ast.stmt]:
    try:
        return ast.parse("".join(lines)).body
    except SyntaxError:
        return []


def _globals(text: str) -> list[str]:
    """The global names that a piece of code uses."""

    def walk(table: symtable.SymbolTable) -> Iterator[str]:
        yield from (s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global())
        for inner in table.get_children():
            yield from walk(inner)

    return sorted({*walk(symtable.symtable(text, FILE, "exec"))})
