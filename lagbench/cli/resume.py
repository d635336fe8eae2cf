"""``lagbench resume``."""

from __future__ import annotations

import click

from lagbench.cli.follow import finished, make_sinks, run_directory, starting, stdout_free
from lagbench.cli.options import checkpoint_option, json_option, log_option, quiet_option, ray_option, threads_option


@click.command()
@click.argument("run")
@ray_option
@threads_option
@checkpoint_option
@log_option
@json_option
@quiet_option
def command(
    run: str,
    ray: str | None,
    threads: int,
    checkpoint_every: float,
    log: tuple[str, ...],
    as_json: bool,
    quiet: bool,
) -> int:
    """Resume an interrupted run from its last checkpoint.

    RUN is its directory. All settings come from its spec.json; phases recorded after the checkpoint are collected
    again. Except for asynchronous runs, the record is identical, bit for bit, to that of an uninterrupted run.
    """
    quiet = quiet or as_json
    with starting(quiet):
        from lagbench import runner
        from lagbench.records.reader import open_run

        path = run_directory(run)
        unrepeated = runner.unrepeated(open_run(path).spec)
        sinks = make_sinks(log, quiet)
    if unrepeated:
        click.echo(f"note: {unrepeated}", err=True)
    with stdout_free():
        done = runner.resume(path, threads=threads, checkpoint_every=checkpoint_every, sinks=sinks, ray=ray)
    return finished(done, as_json)
