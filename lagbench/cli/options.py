"""Options that mean the same in every command, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from lagbench.config import parse_integer


class Integer(click.ParamType):
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


class Assignment(click.ParamType):
    """``name=value``."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split it; a click error where there is no ``=``."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name:
            self.fail(f"{value!r} is not of the form name=value", param, ctx)
        return name.strip(), text.strip()


INTEGER = Integer()
ASSIGNMENT = Assignment()
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

threads_option: Decorator = click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    help="EnvPool's threads; 0: one a core. Changes speed, never a row.",
)
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else.")
quiet_option: Decorator = click.option("-q", "--quiet", is_flag=True, help="No progress.")
log_option: Decorator = click.option(
    "--log", type=click.Choice(["tensorboard", "jsonl"]), multiple=True, help="Also log every phase so. May be repeated."
)
set_option: Decorator = click.option(
    "--set",
    "config",
    type=ASSIGNMENT,
    multiple=True,
    metavar="NAME=VALUE",
    help="A hyperparameter of the algorithm. May be repeated.",
)


def path_argument(name: str) -> Decorator:
    """A positional path."""
    return click.argument(name, type=click.Path(path_type=Path))
