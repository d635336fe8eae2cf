"""What ``score`` and ``report`` share: runs and tables on the command line, read as one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from lagbench import suites
from lagbench.cli.follow import starting
from lagbench.cli.options import Decorator, Name
from lagbench.cli.progress import progress

suite_option: Decorator = click.option(
    "--suite",
    type=Name("name", suites.names),
    metavar="SUITE",
    help="As whose cells the runs are scored.  [default: the smallest suite of their family that has all of them]",
)


def read(paths: Sequence[Path], quiet: bool) -> Any:
    """The table of all runs in some directories and tables; see ``table.collect``."""
    with starting(quiet):
        from lagbench.scoring import table
    parts = [table.from_file(path) for path in paths if path.is_file()]
    if directories := [path for path in paths if not path.is_file()]:
        with progress("reading runs", quiet) as told:
            parts.append(table.collect(directories, told))
    return table.concat(parts)
