"""``lagbench sweep``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lagbench import registry, suites
from lagbench.cli.follow import board, starting, sweeping
from lagbench.cli.options import (
    ASSIGNMENT,
    INTEGER,
    Algorithms,
    Name,
    Once,
    OneOf,
    Seeds,
    Several,
    flat,
    json_option,
    quiet_option,
    spec_options,
    threads_option,
)
from lagbench.errors import UsageError

if TYPE_CHECKING:
    from lagbench.sweep.cells import Planned, State
    from lagbench.sweep.driver import CellOutcome
    from lagbench.sweep.executor import Executor


@click.command(cls=Once)
@click.option(
    "--suite",
    type=Name("name", suites.names),
    metavar="SUITE",
    help="Run a suite (see `lagbench list suites`): all of its cells, or those selected by other options.",
)
@click.option(
    "--algo",
    type=Algorithms(),
    multiple=True,
    callback=flat,
    metavar="ALGO,…",
    help="Algorithms: names (see `lagbench list algorithms`) or path/to/file.py:Class.  [required]",
)
@click.option(
    "--task",
    type=Several(Name("id", registry.task_ids)),
    multiple=True,
    callback=flat,
    metavar="ID,…",
    help="Tasks: ids (see `lagbench list tasks`) or path/to/file.py:function.  [default: Hopper-v5]",
)
@click.option(
    "--lag",
    type=Several(INTEGER),
    multiple=True,
    callback=flat,
    metavar="L,…",
    help="Maximum staleness in policy versions; 0: synchronous.  [default: 0]",
)
@click.option(
    "--updates",
    type=Several(INTEGER),
    multiple=True,
    callback=flat,
    metavar="U,…",
    help="Optimizer updates per phase.  [default: 10 epochs; split: 1]",
)
@click.option(
    "--seeds",
    type=Seeds(),
    multiple=True,
    callback=flat,
    metavar="S,…",
    help="Seeds, such as 0-4 or 0,3,7-9.  [default: 0]",
)
@click.option(
    "--set",
    "config",
    type=ASSIGNMENT,
    multiple=True,
    metavar="NAME=VALUE,…",
    help="Set a hyperparameter (see `lagbench show ALGO`); several values add an axis. May be repeated.",
)
@spec_options
@click.option(
    "--record",
    type=OneOf(["trajectories", "episodes"]),
    default="episodes",
    show_default=True,
    metavar="WHAT",
    help="What to record. trajectories: every transition; episodes: summaries only.",
)
@threads_option
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of all runs; several sweeps may share one.  [default: runs/sweep, or runs/FAMILY]",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="A table of runs from `lagbench score RUNS --table FILE`, whose cells are treated as done.",
)
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Number of concurrent cells.  [default: one per core]"
)
@click.option(
    "--ray", "address", metavar="ADDRESS", help="Run the cells on a Ray cluster: auto, or HOST:PORT of its head."
)
@click.option("--dry-run", is_flag=True, help="Only list the cells, their status, and the estimated remaining hours.")
@click.option("--print-commands", is_flag=True, help="Only print a command for each remaining cell, one per line.")
@json_option
@quiet_option
def command(
    algo: list[str],
    config: tuple[tuple[str, str], ...],
    out: Path | None,
    results: Path | None,
    jobs: int | None,
    threads: int,
    address: str | None,
    dry_run: bool,
    print_commands: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Run a grid of cells, or a suite. Rerun the command to resume.

    \b
    lagbench sweep --suite mujoco-mini-v1 --algo ppo,vaco
    lagbench sweep --algo vaco --lag 0,16 --set delta=0.1,0.2,0.4 --seeds 0-4 -o runs/delta
    lagbench sweep --algo ppo,mine.py:Mine --task Hopper-v5,Walker2d-v5 --budget 300k --dry-run

    Options can be repeated or take comma-separated values; the grid is the product of all values. A cell is a run in
    DIR/<task>/<algorithm>/[<set>/]lag<L>-u<U>-seed<S>. Finished cells are kept and interrupted ones are resumed. If the
    command is run on several machines that share DIR, they divide the cells.

    Exit code: 0 if every cell has a result (divergence is one), 1 if some failed.
    """  # noqa: D301 - click takes the character itself
    given = {name: value for name, value in options.items() if value not in (None, (), [])}
    for name in {"task_options", "lag_options"} & given.keys():
        given[name] = dict(given[name])
    quiet = quiet or as_json
    with starting(quiet):
        # First, because it loads its packages in the background.
        from lagbench.sweep.driver import make_executor

        executor = None if dry_run or print_commands else make_executor(address, jobs, threads)
        from lagbench.records.files import check_writable
        from lagbench.sweep import grid
        from lagbench.sweep.cells import survey
        from lagbench.sweep.taken import taken

        out = out or Path("runs", suites.load(given["suite"]).runs.name if "suite" in given else "sweep")
        cells = grid.plan(out, algo=algo, config=_axes(config), **given)
        known = {} if results is None else taken(cells, _rows_of(results))
        states = survey(cells, known)
    if print_commands:
        from lagbench.sweep import lines

        left = [lines.command(cell, state) for cell, state in states.items() if not state.is_over]
        click.echo("\n".join(left), nl=bool(left))
        if not left:
            click.echo(f"nothing is left to run; {_counted(states.values())}", err=True)
        return 0
    if dry_run:
        _list(states, as_json)
        return 0
    assert executor is not None
    if not all(state.is_over for state in states.values()):
        check_writable(out, "rerun the command, or give another directory with --out", into=True)
    outcomes = _run(cells, known, out, executor, as_json, quiet)
    return 1 if any(outcome.state.is_failure for outcome in outcomes) else 0


def _axes(config: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    axes: dict[str, list[str]] = {}
    for name, text in config:
        values = [value.strip() for value in text.split(",")]
        if not all(values):
            raise UsageError(f"--set {name}={text} is not a list such as {name}=0.1,0.2")
        axes.setdefault(name, []).extend(values)
    return axes


def _rows_of(results: Path) -> list[dict[str, Any]]:
    from lagbench.scoring import table

    rows: list[dict[str, Any]] = table.from_file(results).to_pylist()
    return rows


def _run(
    cells: Sequence[Planned],
    known: Mapping[Planned, State],
    out: Path,
    executor: Executor,
    as_json: bool,
    quiet: bool,
) -> Sequence[CellOutcome]:
    from lagbench.sweep.driver import SweepEnded, run_grid

    try:
        with sweeping():
            outcomes: Sequence[CellOutcome] = run_grid(cells, executor=executor, watcher=board(out, quiet), taken=known)
    except SweepEnded as ended:
        _report(ended.outcomes, as_json)
        raise
    _report(outcomes, as_json)
    return outcomes


def _list(states: Mapping[Planned, State], as_json: bool) -> None:
    from lagbench.sinks.description import duration
    from lagbench.sweep import cost
    from lagbench.sweep.driver import CellOutcome

    outcomes = [CellOutcome(cell, state) for cell, state in states.items()]
    left = [o.cell.spec for o in outcomes if not o.state.is_over]
    hours = cost.hours(left)
    if as_json:
        click.echo(json.dumps({"cells": _rows(outcomes), "core_hours_left": hours}, indent=2))
        return
    width = max(len(str(cell.path)) for cell in states)
    for o in outcomes:
        seconds = cost.seconds(o.cell.spec)
        about = "" if o.state.is_over or seconds is None else f"  {duration(seconds)}"
        click.echo(f"{o.cell.path!s:<{width}}  {o.state.status}{about}{': ' * bool(o.state.reason)}{o.state.reason}")
    about = "" if hours is None else f", about {duration(3600 * hours)} on one core"
    click.echo(f"{len(left)} of {len(states)} cells to run{about}")


def _report(outcomes: Sequence[CellOutcome], as_json: bool) -> None:
    """Print the outcomes on stdout: counts, then failed and diverged cells with their reasons."""
    states = [o.state for o in outcomes]
    counts = Counter(state.status for state in states)
    if as_json:
        click.echo(json.dumps({"cells": _rows(outcomes), "counts": dict(counts)}, indent=2))
        return
    for o in outcomes:
        if o.state.reason:
            click.echo(f"{o.state.status}: {o.cell.path}: {o.state.reason}")
    if counts["failed"]:
        click.echo("a run recorded as failed is not tried again as long as its directory exists")
    click.echo(_counted(states))


def _counted(states: Collection[State]) -> str:
    from lagbench.sweep.board import in_words

    counts = Counter(state.status for state in states)
    return f"{in_words(len(states))}: " + ", ".join(
        f"{counts[name]} {name}" for name in sorted(counts, key=_ORDER.index)
    )


_ORDER = ("completed", "diverged", "failed", "crashed", "unusable", "other", "unfinished", "missing")


def _rows(outcomes: Sequence[CellOutcome]) -> list[dict[str, Any]]:
    return [
        {
            "path": str(o.cell.path),
            "task": o.cell.spec.task,
            "algorithm": o.cell.spec.algorithm.name,
            "lag": o.cell.spec.protocol.lag,
            "updates": o.cell.spec.protocol.updates,
            "seed": o.cell.spec.seed,
            "status": o.state.status,
            "reason": o.state.reason,
            "final_return": o.state.score,
            "final_standard_error": o.state.error,
        }
        for o in outcomes
    ]
