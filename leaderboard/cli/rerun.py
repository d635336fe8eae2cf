"""``lagbench leaderboard rerun``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from lagbench import UsageError, cli
from lagbench.leaderboard.cli.sandboxed import sandbox_options


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--beacon",
    metavar="VALUE",
    help="Public random value from which, with the submission, the seeds are derived.  [default: drawn, and marked as "
    "such]",
)
@click.option("--beacon-name", metavar="TEXT", help='Source of the value, such as "drand quicknet, round 5000000".')
@click.option(
    "--cells",
    type=float,
    default=1.0,
    metavar="SHARE",
    help="Share of the seeds to train, each with every task and lag, if the suite is too expensive; at least 0.2.",
    show_default=True,
)
@click.option("--again", is_flag=True, help="Train one cell of the existing table again, and compare.")
@sandbox_options
@click.option("--memory", type=click.FloatRange(min=0, min_open=True), default=16.0, metavar="GIB", show_default=True)
@click.option(
    "--time-limit",
    type=cli.options.DURATION,
    default="12h",
    metavar="TIME",
    help="Time limit per cell.",
    show_default=True,
)
@click.option("--device", default="cpu", metavar="NAME", help="Device of the learner.", show_default=True)
@click.option("--torch-threads", type=click.IntRange(min=1), default=1, metavar="K", show_default=True)
@cli.options.threads_option
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Number of concurrent cells.  [default: one per core]"
)
@click.option("--ray", "address", metavar="ADDRESS", help="Train on a Ray cluster: auto, or HOST:PORT of its head.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory for the runs.  [default: runs/reruns/SUITE/SLUG]",
)
@click.option(
    "--table",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The table.  [default: reruns/SUITE/SLUG.arrow next to submissions/, where the board reads it]",
)
@cli.options.json_option
@cli.options.quiet_option
def command(
    path: Path,
    beacon: str | None,
    beacon_name: str | None,
    cells: float,
    again: bool,
    sandbox: str | None,
    trust_source: bool,
    memory: float,
    time_limit: float,
    device: str,
    torch_threads: int,
    threads: int,
    jobs: int | None,
    address: str | None,
    out: Path | None,
    table: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Train a submission on its suite, in a sandbox, and write the table from which it is ranked.

    \b
    cd leaderboard/submissions/mujoco-mini-v1
    lagbench leaderboard rerun mine --beacon VALUE --beacon-name "drand quicknet, round N"
    lagbench leaderboard rerun mine --again

    PATH is validated first. Training seeds are derived from the submission's SHA-256 and the beacon, so that no one can
    choose them. The source has no network, sees only Python and its run, and can write only its run. Rerun the command
    to resume.

    Exit code: 0 if the table is written, or agrees; 1 if a cell has no result, or differs.
    """  # noqa: D301 - click takes the character itself
    if (beacon is None) != (beacon_name is None):
        raise UsageError("give both --beacon and --beacon-name, or neither")
    quiet = quiet or as_json
    with cli.follow.starting(quiet):
        from lagbench import make_executor, run_grid
        from lagbench.leaderboard import rerun as making
        from lagbench.leaderboard import reruns
        from lagbench.leaderboard import sandbox as sandboxes
        from lagbench.leaderboard.reruns import Beacon
        from lagbench.leaderboard.validate import valid

        kept = sandboxes.choose(sandbox, trusted=trust_source)
        limits = sandboxes.Limits(memory=int(memory * sandboxes.GIBIBYTE), seconds=time_limit)
        method = valid(path)
        table = table or reruns.file_of(path)
        out = out or Path("runs", "reruns", method.manifest.suite.name, method.slug)
        if again:
            committed = reruns.read(table)
            out = out / "again"
            planned = making.again(method, committed, out)
        elif table.exists():
            raise UsageError(f"{table} already exists, and a method is rerun only once; see --again")
        else:
            given = None if beacon is None or beacon_name is None else Beacon(value=beacon, name=beacon_name)
            planned = making.plan(
                method, out, kept=kept, beacon=given, share=cells, device=device, torch_threads=torch_threads
            )
    with cli.follow.sweeping():
        executor = make_executor(address, jobs, threads, making.Cell(kept, limits))
        outcomes = run_grid(planned.cells, executor=executor, watcher=cli.follow.board(out.absolute(), quiet))
    if again:
        compared = making.compare(planned, committed, kept)
        click.echo(cli.output.document(compared.to_json()) if as_json else compared.text)
        return 0 if compared.agrees else 1
    made = making.table(planned, outcomes, kept)
    reruns.write(made, table)
    if as_json:
        click.echo(cli.output.document({"table": str(table), "rerun": msgspec.to_builtins(made.record)}))
    else:
        click.echo(str(table))
    return 0
