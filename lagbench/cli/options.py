"""Options that mean the same in every command, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from lagbench.config import parse_integer
from lagbench.errors import unknown


# click's types are generic only in its later versions.
class Integer(click.ParamType):  # type: ignore[type-arg]
    """A whole number as people write it: 1M, 1e6, 1_000_000."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read it; a click error where it is none."""
        if isinstance(value, int):
            return value
        try:
            return parse_integer(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a whole number (1M, 1e6 and 1_000_000 are)", param, ctx)


class OneOf(click.Choice):  # type: ignore[type-arg]
    """A choice that names the nearest one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take it; a click error, with all there are, where it is none of them."""
        if value not in self.choices:
            self.fail(str(unknown("value", str(value), self.choices)), param, ctx)
        return str(value)


class Name(click.ParamType):  # type: ignore[type-arg]
    """A name that is looked up later, and that the shell completes from what is ``known``."""

    def __init__(self, name: str, known: Callable[[], Iterable[str]]) -> None:
        self.name = name
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin so; files too, where none does."""
        names = [CompletionItem(name) for name in self._known() if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


class Assignment(click.ParamType):  # type: ignore[type-arg]
    """``name=value``."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split it; a click error where there is no ``=``."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f"{value!r} is not of the form name=value", param, ctx)
        return name.strip(), text.strip()


INTEGER = Integer()
ASSIGNMENT = Assignment()
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

threads_option: Decorator = click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    metavar="K",
    help="EnvPool's threads; 0: one a core. Changes speed, never a row.",
    show_default=True,
)
json_option: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else."
)
quiet_option: Decorator = click.option("-q", "--quiet", is_flag=True, help="No progress.")
log_option: Decorator = click.option(
    "--log",
    type=OneOf(["tensorboard", "jsonl"]),
    multiple=True,
    help="Also log every phase so, in the run's directory. May be repeated.",
)
set_option: Decorator = click.option(
    "--set",
    "config",
    type=ASSIGNMENT,
    multiple=True,
    metavar="NAME=VALUE",
    help="A hyperparameter of the algorithm; see `lagbench show ALGO`. May be repeated.",
)
