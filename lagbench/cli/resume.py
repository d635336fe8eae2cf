"""``lagbench resume``."""

from __future__ import annotations

from pathlib import Path

import click

from lagbench.cli.follow import finished, make_sinks
from lagbench.cli.options import json_option, log_option, path_argument, quiet_option, threads_option


@click.command()
@path_argument("run")
@threads_option
@log_option
@json_option
@quiet_option
def command(run: Path, threads: int, log: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Go on with a run that was cut off, after its last committed phase.

    Everything comes from RUN/spec.json and the checkpoint beside it. The finished record is the same, bit for bit, as that of
    a run that was left alone.
    """
    from lagbench import runner

    done = runner.resume(run, threads=threads, sinks=make_sinks(log, quiet or as_json))
    return finished(done, as_json)
