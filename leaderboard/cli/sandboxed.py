"""What the commands share that run a stranger's source."""

from __future__ import annotations

import click

from lagbench import cli

sandbox_options: cli.options.Decorator = cli.options.stacked(
    click.option(
        "--sandbox",
        metavar="COMMAND",
        help="Run the source by COMMAND, a container, with {directory} for what it may write.  [default: bubblewrap]",
    ),
    click.option("--trust-source", is_flag=True, help="Run it without a sandbox: of a source that you have read."),
)
