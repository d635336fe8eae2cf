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
    """A module with the class, the classes and functions of the notebook that it uses, and their imports and constants.

    Raises UsageError where it uses anything else, and where its text is not known: only IPython, and Python from 3.13
    on, keep what was typed.
    """
    found = _Definitions(cls)
    found.add(cls.__name__, cls)
    return "\n".join([*sorted(found.futures), *found.statements]) + "\n"


class _Definitions:
    """The statements that make some names, those that they need first."""

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
        """A statement that makes it, as an import of the notebook's does, or of a constant."""
        if isinstance(value, ModuleType):
            # Of `import a.b` the name is that of a.
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
    """Of each import in a cell the module, what is taken from it (None: itself), and the name that this gets."""
    for cell in list(linecache.cache.values()):
        # Of what is no file it has no time of change.
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
    """The names that a piece of code takes from its module."""

    def walk(table: symtable.SymbolTable) -> Iterator[str]:
        yield from (s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global())
        for inner in table.get_children():
            yield from walk(inner)

    return sorted({*walk(symtable.symtable(text, FILE, "exec"))})
