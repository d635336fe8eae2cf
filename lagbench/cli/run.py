"""``lagbench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lagbench import registry, suites
from lagbench.cli.follow import finished, make_sinks, starting, stdout_free
from lagbench.cli.options import (
    INTEGER,
    Name,
    OneOf,
    checkpoint_option,
    json_option,
    log_option,
    quiet_option,
    ray_option,
    set_option,
    spec_options,
    threads_option,
)
from lagbench.errors import UsageError

_FLAGS = {"config": "--set", "task_options": "--task-set", "lag_options": "--lag-set"}


@click.command()
@click.option(
    "--suite",
    type=Name("name", suites.names),
    metavar="SUITE",
    help="Run one cell of a suite (see `lagbench list suites`), which fixes everything except the algorithm.",
)
@click.option(
    "--algo",
    type=Name("name", registry.algorithms),
    metavar="ALGO",
    help="Algorithm: a name (see `lagbench list algorithms`) or path/to/file.py:Class.  [default: ppo]",
)
@click.option(
    "--task",
    type=Name("id", registry.task_ids),
    metavar="ID",
    help="Task: an id (see `lagbench list tasks`) or path/to/file.py:function.  [default: Hopper-v5]",
)
@click.option(
    "--lag", type=INTEGER, metavar="L", help="Maximum staleness in policy versions; 0: synchronous.  [default: 0]"
)
@click.option(
    "--updates", type=INTEGER, metavar="U", help="Optimizer updates per phase.  [default: 10 epochs; split: 1]"
)
@click.option("--seed", type=INTEGER, metavar="S", help="Seed of all random streams.  [default: 0]")
@set_option
@spec_options
@click.option(
    "--asynchronous",
    is_flag=True,
    help="Run actors and learner asynchronously on Ray, and measure the resulting lag (docs/asynchrony.md).",
)
@click.option(
    "--actor-processes",
    type=INTEGER,
    metavar="A",
    help="Asynchronous runs: number of actor processes.  [default: available cores − 1]",
)
@click.option(
    "--queue", type=INTEGER, metavar="Q", help="Asynchronous runs: capacity of the queue in batches.  [default: 1]"
)
@click.option(
    "--record",
    type=OneOf(["trajectories", "episodes"]),
    metavar="WHAT",
    help="What to record. trajectories: every transition; episodes: summaries only.  [default: trajectories]",
)
@ray_option
@threads_option
@checkpoint_option
@log_option
@click.option(
    "--spec",
    "spec_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Run the specification of another run, its spec.json, with the source stored next to it; cannot be combined "
    "with options that change results.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the run.  [default: a new one in runs/]",
)
@json_option
@quiet_option
def command(
    spec_file: Path | None,
    out: Path | None,
    asynchronous: bool,
    ray: str | None,
    threads: int,
    checkpoint_every: float,
    log: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Train one algorithm under lag, and record the run.

    \b
    lagbench run --algo vaco --lag 8
    lagbench run --algo ppo --lag 31 --task HalfCheetah-v5 --budget 300k
    lagbench run --algo vaco --set delta=0.1 --set filter=false
    lagbench run --algo mine.py:Mine --lag 8 --log tensorboard
    lagbench run --algo vaco --asynchronous --queue 2
    lagbench run --suite mujoco-mini-v1 --task Hopper-v5 --lag 8 --seed 2 --algo vaco

    Backward lag: each actor acts with a policy version up to L versions old. Forward lag: U optimizer updates are made
    on each phase's data. A run is written to runs/<task>/<algorithm>/lag<L>-u<U>-seed<S>-<n> and can be resumed. The
    last line on stdout is its directory; progress goes to stderr.
    """  # noqa: D301 - click takes the character itself
    given: dict[str, Any] = {k: v for k, v in options.items() if v is not None and v != ()}
    if asynchronous:
        given["execution"] = "asynchronous"
    if spec_file is not None and given:
        name = next(iter(given))
        flag = {**_FLAGS, "execution": "--asynchronous"}.get(name, f"--{name.replace('_', '-')}")
        raise UsageError(f"--spec contains all settings that determine results; {flag} cannot be combined with it")
    for name in _FLAGS.keys() & given.keys():
        given[name] = dict(given[name])
    quiet = quiet or as_json
    with starting(quiet):
        from lagbench import runner
        from lagbench.spec import RunSpec

        spec, note = (suites.resolve(**given), "") if spec_file is None else runner.renewed(RunSpec.load(spec_file))
        runner.check_ray(spec, ray)
        sinks = make_sinks(log, quiet)
        unrepeated = runner.unrepeated(spec)
        path = out or runner.new_directory(spec)
    for text in filter(None, (note, unrepeated)):
        click.echo(f"note: {text}", err=True)
    with stdout_free():
        run = runner.execute(spec, path, threads=threads, checkpoint_every=checkpoint_every, sinks=sinks, ray=ray)
    return finished(run, as_json)
