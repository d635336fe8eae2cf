"""A group of commands that are loaded on use."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from lagbench import registry
from lagbench.errors import unknown


class LazyGroup(click.Group):
    """Commands named by strings, so that ``--help`` and completion import none of them.

    Args:
        commands: a function that returns name → ``"module:attribute"``, in the order of the help.
        texts: help texts by name, in place of the first line of the command's docstring.
        attributes: attributes of ``click.Group``.
    """

    def __init__(
        self, *, commands: Callable[[], Mapping[str, str]], texts: Mapping[str, str] | None = None, **attributes: Any
    ) -> None:
        super().__init__(**attributes)
        self._named = commands
        self._texts = texts or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of the help."""
        return list(self._named())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load the command of that name; None if there is none."""
        target = self._named().get(cmd_name)
        if target is None:
            return None
        command: click.Command = registry.load(target)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """As click's, but refuse an unknown name with a suggestion."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known and not ctx.resilient_parsing:
            raise unknown("command", args[0], known)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one line per command."""
        rows = [(name, self._texts.get(name) or _first_line(target)) for name, target in self._named().items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _first_line(target: str) -> str:
    """The first line of a command's docstring, read without importing it; empty if that fails."""
    module, _, attribute = target.partition(":")
    with contextlib.suppress(ImportError, OSError, SyntaxError, ValueError):
        found = importlib.util.find_spec(module)
        if found is not None and found.origin is not None:
            for node in ast.parse(Path(found.origin).read_text(encoding="utf-8")).body:
                if isinstance(node, ast.FunctionDef) and node.name == attribute:
                    return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
