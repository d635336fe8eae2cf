"""``lagbench compare``."""

from __future__ import annotations

import shlex
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lagbench import LagbenchError, UsageError, cli, records

if TYPE_CHECKING:
    from lagbench.leaderboard.compare import Compared

_REPLICATIONS = 2_000


def _algorithms() -> list[str]:
    return sorted(one.name for one in entry_points(group="lagbench.algorithms"))


def _suites() -> list[str]:
    from lagbench.leaderboard import published

    return published.suites()


@click.command()
@click.argument("algo", type=cli.options.Name("algo", _algorithms))
@click.option(
    "--suite",
    type=cli.options.Name("name", _suites),
    required=True,
    metavar="SUITE",
    help="The suite to run it over, see `lagbench list suites`.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="For the runs, the table of all that is compared, and the comparison.",
)
@click.option(
    "--against",
    type=cli.options.Several(cli.options.Name("name", _algorithms)),
    multiple=True,
    callback=cli.options.flat,
    metavar="NAME,…",
    help="Baselines.  [default: all that are published]",
)
@click.option(
    "--baselines",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A table of runs, of lagbench score --table, in place of the published ones.",
)
@cli.options.set_option
@click.option(
    "--seeds",
    type=cli.options.Seeds(),
    multiple=True,
    callback=cli.options.flat,
    metavar="S,…",
    help="Run some of the suite's seeds only, for a first look: no verdict.  [default: all]",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Runs at once.  [default: one a core]",
)
@click.option("--device", metavar="NAME", help="Where the learner computes: cpu, cuda.  [default: cpu]")
@click.option(
    "--replications",
    type=cli.options.INTEGER,
    default=_REPLICATIONS,
    metavar="N",
    help=f"Of the bootstrap behind the intervals; {cli.output.REPORT_REPLICATIONS:,} for what is published.",
    show_default=True,
)
@cli.options.json_option
@cli.options.quiet_option
def command(
    algo: str,
    suite: str,
    out: Path,
    against: list[str],
    baselines: Path | None,
    config: tuple[tuple[str, str], ...],
    seeds: list[int],
    jobs: int | None,
    device: str | None,
    replications: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run ALGO over a suite, and compare it with published baselines.

    \b
    lagbench compare mine.py:Mine --suite mujoco-mini-v1 -o runs/mine

    ALGO is a name or path/to/file.py:Class. Only what is new is run; the same line again goes on where it was, and
    what is done is only scored. DIR then holds runs/, table.arrow (lagbench score reads it), comparison.json and
    comparison.txt. docs/compare.md says how it is judged.

    Exit code 0 where every run has a result, and divergence is one, whatever the verdict; 1 where some failed.
    """  # noqa: D301 - click takes the character itself
    if replications < 1:
        raise UsageError(f"--replications must be at least 1, not {replications}")
    quiet = quiet or as_json
    with cli.follow.starting(quiet):
        from lagbench import load_suite, plan_grid, run_grid
        from lagbench.leaderboard import compare, published

        # What is refused is refused before anything is run.
        records.files.check_writable(out, "compare again", into=True)
        whole = load_suite(suite)
        table = published.load(whole) if baselines is None else published.read(baselines, whole)
        table = published.choose(table, against)
        options: dict[str, Any] = {} if device is None else {"device": device}
        cells = plan_grid(
            out / compare.RUNS,
            algo=[algo],
            suite=suite,
            seeds=seeds,
            config={name: [value] for name, value in config},
            record="episodes",
            **options,
        )
    try:
        with cli.follow.stdout_free():
            outcomes = run_grid(cells, jobs=jobs, watcher=cli.follow.board(out / compare.RUNS, quiet))
    except UsageError:
        raise
    except LagbenchError as ended:
        ended.add_note(f"go on with: {shlex.join(['lagbench', *sys.argv[1:]])}")
        raise
    with cli.progress.progress("bootstrap", quiet) as told:
        found = compare.compare(
            outcomes, table, replications=replications, suite=suite, table=out / compare.TABLE, progress=told
        )
    document = cli.output.document(found.to_json())
    with records.files.explained(out, "compare again"):
        (out / "comparison.json").write_text(document + "\n", encoding="utf-8")
        with (out / "comparison.txt").open("w", encoding="utf-8") as file:
            cli.output.show(found.results, file)
            file.write(_judged(found))
    if as_json:
        click.echo(document)
    else:
        cli.output.show(found.results)
        click.echo(_judged(found), nl=False)
    return 1 if any(outcome.state.is_failure for outcome in outcomes) else 0


def _judged(found: Compared) -> str:
    """The end of it, in words."""
    sentences = [f"- {one.text}" for one in found.verdicts]
    pairs = found.results.pairs
    by = f"with Holm's correction over {pairs} pairs" if pairs > 1 else "by p ≤ 0.05"
    sure = [note for note in (found.results.power_note, found.results.coverage) if note]
    return "\n".join(["", f"Verdict, {by}", *sentences, *sure, found.summary, ""])
