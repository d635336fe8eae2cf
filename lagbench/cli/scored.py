"""Shared by ``score`` and ``report``: options, and reading of runs and tables as one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lagbench import suites
from lagbench.cli.follow import starting
from lagbench.cli.options import Decorator, Name
from lagbench.cli.progress import progress

by_option: Decorator = click.option(
    "--by",
    multiple=True,
    metavar="NAME",
    help="A swept hyperparameter; each value becomes a line. May be repeated.",
)
suite_option: Decorator = click.option(
    "--suite",
    type=Name("name", suites.names),
    metavar="SUITE",
    help="Score the runs as cells of this suite.  [default: the smallest suite of their family that contains all of "
    "them]",
)


def read(paths: Sequence[Path], quiet: bool) -> Any:
    """The table of all runs in directories and tables; see ``table.collect``."""
    with starting(quiet):
        from lagbench.scoring import table
    parts = [table.from_file(path) for path in paths if path.is_file()]
    if directories := [path for path in paths if not path.is_file()]:
        with progress("reading runs", quiet) as told:
            parts.append(table.collect(directories, told))
    return table.concat(parts)
