"""``lagbench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lagbench import registry, suites
from lagbench.cli.follow import finished, make_sinks, starting, stdout_free
from lagbench.cli.options import (
    ASSIGNMENT,
    INTEGER,
    Name,
    OneOf,
    json_option,
    log_option,
    quiet_option,
    set_option,
    threads_option,
)
from lagbench.errors import UsageError

_FLAGS = {"config": "--set", "task_options": "--task-set"}


@click.command()
@click.option(
    "--suite",
    type=Name("name", suites.names),
    metavar="SUITE",
    help="Run one cell of a suite, see `lagbench list suites`: it fixes all but the algorithm.",
)
@click.option(
    "--algo",
    type=Name("name", registry.algorithms),
    metavar="ALGO",
    help="A name, see `lagbench list algorithms`, or path/to/file.py:Class.  [default: ppo]",
)
@click.option(
    "--task",
    type=Name("id", registry.task_ids),
    metavar="ID",
    help="A task, see `lagbench list tasks`.  [default: Hopper-v5]",
)
@click.option(
    "--lag", type=INTEGER, metavar="L", help="Max staleness in policy versions; 0: synchronous.  [default: 0]"
)
@click.option(
    "--lag-mode",
    type=OneOf(["uniform", "fixed"]),
    help="uniform: each actor draws a version 0 … L old; fixed: always L old.  [default: uniform]",
)
@click.option("--updates", type=INTEGER, metavar="U", help="Optimizer updates a phase.  [default: 10 epochs; split: 1]")
@click.option(
    "--forward",
    type=OneOf(["reuse", "split"]),
    help="reuse: whole epochs over a phase's samples; split: one pass in U minibatches.  "
    "[default: reuse; language: split]",
)
@click.option("--minibatch", type=INTEGER, metavar="B", help="Samples a minibatch.  [default: 256; language: 32]")
@click.option("--actors", type=INTEGER, metavar="N", help="Actors.  [default: 64; language: 4]")
@click.option(
    "--phase-steps", type=INTEGER, metavar="T", help="Steps of an actor a phase.  [default: 32; split: as U × B takes]"
)
@click.option(
    "--budget",
    type=INTEGER,
    metavar="STEPS",
    help="Actor steps in all, such as 300k; language: completions.  [default: 1M; language: 20480]",
)
@click.option("--seed", type=INTEGER, metavar="S", help="Every random stream comes from it.  [default: 0]")
@set_option
@click.option(
    "--task-set",
    "task_options",
    type=ASSIGNMENT,
    multiple=True,
    metavar="NAME=VALUE",
    help="An option of the task. May be repeated.",
)
@click.option("--eval-episodes", type=INTEGER, metavar="K", help="Episodes of each evaluation.  [default: 10]")
@click.option(
    "--eval-intervals", type=INTEGER, metavar="I", help="Evaluate at every 1/I of the budget, from 0.  [default: 10]"
)
@click.option(
    "--record",
    type=OneOf(["trajectories", "episodes"]),
    metavar="WHAT",
    help="trajectories: every transition; episodes: summaries only.  [default: trajectories]",
)
@click.option("--device", metavar="NAME", help="Where the learner computes: cpu, cuda.  [default: cpu]")
@threads_option
@log_option
@click.option(
    "--spec",
    "spec_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Run what the spec.json of another run says; no option that decides a row goes with it.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The run's directory.  [default: a new one in runs/]",
)
@json_option
@quiet_option
def command(
    spec_file: Path | None,
    out: Path | None,
    threads: int,
    log: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Run one algorithm under one lag, to a finished record.

    \b
    lagbench run --algo vaco --lag 8
    lagbench run --algo ppo --lag 31 --task HalfCheetah-v5 --budget 300k
    lagbench run --algo vaco --set delta=0.1 --set filter=false
    lagbench run --algo mine.py:Mine --lag 8 --log tensorboard
    lagbench run --suite mujoco-mini-v0 --task Hopper-v5 --lag 16 --seed 2 --algo vaco

    Backward lag: each actor acts with a policy version up to L versions old. Forward lag: U optimizer updates are made
    on each phase's data. A run is written to runs/<task>/<algorithm>/lag<L>-u<U>-seed<S>-<n>, and can be resumed; its
    directory is the last line on stdout, progress goes to stderr.
    """  # noqa: D301 - click takes the character itself
    given: dict[str, Any] = {k: v for k, v in options.items() if v is not None and v != ()}
    if spec_file is not None and given:
        name = next(iter(given))
        flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
        raise UsageError(f"--spec says all that decides a run's rows; {flag} cannot go with it")
    for name in _FLAGS.keys() & given.keys():
        given[name] = dict(given[name])
    quiet = quiet or as_json
    with starting(quiet):
        from lagbench import runner
        from lagbench.spec import RunSpec

        spec = suites.resolve(**given) if spec_file is None else RunSpec.load(spec_file)
        sinks = make_sinks(log, quiet)
        path = out or runner.new_directory(spec)
    with stdout_free():
        run = runner.execute(spec, path, threads=threads, sinks=sinks)
    return finished(run, as_json)
