"""Options of the commands that run untrusted source."""

from __future__ import annotations

import click

from lagbench import cli

sandbox_options: cli.options.Decorator = cli.options.stacked(
    click.option(
        "--sandbox",
        metavar="COMMAND",
        help="Run the source with COMMAND, such as a container; {directory} is replaced by the writable directory, "
        "{readable} by each path to read.  [default: bubblewrap]",
    ),
    click.option("--trust-source", is_flag=True, help="Run without a sandbox; only for source that you have read."),
)
