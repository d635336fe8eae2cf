"""``lagbench compare``."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lagbench import cli, records

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
    help="The suite to run (see `lagbench list suites`).",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Output directory for runs, table and comparison.",
)
@click.option(
    "--against",
    type=cli.options.Several(cli.options.Name("name", _algorithms)),
    multiple=True,
    callback=cli.options.flat,
    metavar="NAME,…",
    help="Baselines to compare with.  [default: all published ones]",
)
@click.option(
    "--baselines",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A table of baseline runs from `lagbench score --table`, instead of the published ones.",
)
@cli.options.set_option
@click.option(
    "--seeds",
    type=cli.options.Seeds(),
    multiple=True,
    callback=cli.options.flat,
    metavar="S,…",
    help="Run only some of the suite's seeds, for a first look without a verdict.  [default: all]",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of concurrent runs.  [default: one per core]",
)
@click.option("--device", metavar="NAME", help="Device of the learner: cpu, cuda.  [default: cpu]")
@cli.options.replications_option(_REPLICATIONS, cli.output.FOR_PUBLICATION)
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
    """Run ALGO on a suite, and compare it with baselines.

    \b
    lagbench compare mine.py:Mine --suite mujoco-mini-v1 -o runs/mine

    ALGO is a name or path/to/file.py:Class. Only its own runs are made; rerun the command to resume. Writes runs/,
    table.arrow (for `lagbench score`), comparison.json and comparison.txt to DIR. docs/compare.md explains the verdict.

    Exit code: 0 if every run has a result (divergence is one), whatever the verdict; 1 if some failed.
    """  # noqa: D301 - click takes the character itself
    quiet = quiet or as_json
    with cli.follow.starting(quiet):
        from lagbench import load_suite, plan_grid, run_grid
        from lagbench.leaderboard import compare, published

        # Refuse before running anything.
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
    with cli.follow.sweeping():
        outcomes = run_grid(cells, jobs=jobs, watcher=cli.follow.board(out / compare.RUNS, quiet))
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
    """The final message."""
    sentences = [f"- {one.text}" for one in found.verdicts]
    pairs = found.results.pairs
    by = f"with Holm's correction over {pairs} pairs" if pairs > 1 else "by p ≤ 0.05"
    sure = [note for note in (found.results.power_note, found.results.coverage) if note]
    return "\n".join(["", f"Verdict, {by}", *sentences, *sure, found.summary, ""])
