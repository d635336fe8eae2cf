"""``lagbench replay``."""

from __future__ import annotations

import json

import click

from lagbench.cli.follow import run_directory, starting
from lagbench.cli.options import json_option, quiet_option, threads_option
from lagbench.cli.output import show_check
from lagbench.errors import RecordError, UsageError


@click.command()
@click.argument("run")
@click.option(
    "--training",
    is_flag=True,
    help="Also replay the training episodes, which takes about two thirds of the run's time.",
)
@threads_option
@json_option
@quiet_option
@click.pass_context
def command(ctx: click.Context, run: str, training: bool, threads: int, as_json: bool, quiet: bool) -> None:
    """Replay RUN's evaluation episodes in the simulator, and compare every observation, reward and flag bit for bit.

    \b
    lagbench replay RUN
    lagbench replay RUN --training

    Also recomputes the actions of the final evaluation from the policy file, and checks seeds, staleness draws, sums
    and content hashes. On language, completions are graded again. Reports the first row that differs. Exit code: 0 if
    everything agrees, else 1. With -q only failed checks are printed.
    """  # noqa: D301 - click takes the character itself
    with starting(quiet or as_json):
        from lagbench.cli.progress import progress
        from lagbench.records.reader import open_run
        from lagbench.records.replay import replay

        path = run_directory(run)
        try:
            found = open_run(path)
        except UsageError as error:
            # spec.json was edited: the record is faulty, not the command.
            raise RecordError(str(error)) from None
    with progress("replaying", quiet or as_json) as told:
        report = replay(found, training=training, threads=threads, progress=told)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        width = max(len(check.name) for check in report.checks)
        for check in report.checks:
            show_check(check.outcome, f"{check.name:<{width}}  {check.message}", quiet)
        for note in report.notes:
            click.echo(f"note: {note}", err=True)
    ctx.exit(0 if report.passed else 1)
