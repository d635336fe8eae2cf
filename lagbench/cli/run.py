"""``lagbench run``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lagbench.cli.follow import finished, make_sinks
from lagbench.cli.options import (
    ASSIGNMENT,
    INTEGER,
    json_option,
    log_option,
    quiet_option,
    set_option,
    threads_option,
)
from lagbench.errors import UsageError


@click.command()
@click.option("--algo", help="A registered algorithm, or path/to/file.py:Class.  [default: ppo]")
@click.option("--task", help="A task id; see `lagbench list tasks`.  [default: Hopper-v5]")
@click.option("--lag", type=INTEGER, help="Max staleness L in policy versions; 0 is synchronous.  [default: 0]")
@click.option(
    "--lag-mode",
    help="uniform: each actor draws a version 0 … L old; fixed: always L old.  [default: uniform]",
)
@click.option("--updates", type=INTEGER, help="Optimizer updates a phase, U.  [default: 10 epochs; split: 1]")
@click.option(
    "--forward",
    help="reuse: whole epochs over a phase's samples; split: one pass in U minibatches.  [default: reuse on control]",
)
@click.option("--minibatch", type=INTEGER, help="Samples a minibatch.  [default: 256 on control]")
@click.option("--actors", type=INTEGER, help="Actors, N.  [default: 64 on control]")
@click.option("--phase-steps", type=INTEGER, help="Steps an actor takes in a phase, T.  [default: 32 on control]")
@click.option("--budget", type=INTEGER, help="Actor steps in all, e.g. 300k; language: completions.  [default: 1M]")
@click.option("--seed", type=INTEGER, help="Every random stream comes from it.  [default: 0]")
@set_option
@click.option(
    "--task-set", "task_options", type=ASSIGNMENT, multiple=True, metavar="NAME=VALUE", help="An option of the task."
)
@click.option("--eval-episodes", type=INTEGER, help="Episodes an evaluation, one an environment.  [default: 10]")
@click.option("--record", help="trajectories: every transition; episodes: summaries only.  [default: trajectories]")
@click.option("--device", help="Where the learner computes: cpu, cuda.  [default: cpu]")
@threads_option
@log_option
@click.option(
    "--spec",
    "spec_file",
    type=click.Path(path_type=Path),
    help="Run what spec.json of another run says; no other option of the run goes with it.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The run's directory.  [default: a new one in runs/]")
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

    Backward lag: each actor acts with a policy version up to L versions old. Forward lag: U optimizer updates are made on
    each phase's data. A run is written to runs/<task>/<algorithm>/lag<L>-u<U>-seed<S>-<n>, and can be resumed.
    """
    from lagbench import runner
    from lagbench.spec import RunSpec, resolve

    given: dict[str, Any] = {k: v for k, v in options.items() if v is not None and v != ()}
    if spec_file is not None:
        if given:
            flag = "--" + {"config": "set", "task_options": "task-set"}.get(k := next(iter(given)), k).replace("_", "-")
            raise UsageError(f"--spec says all of the run; {flag} cannot go with it")
        spec = RunSpec.load(spec_file)
    else:
        for name in ("config", "task_options"):
            if name in given:
                given[name] = dict(given[name])
        spec = resolve(**given)
    path = out or runner.directory_for(spec)
    run = runner.execute(spec, path, threads=threads, sinks=make_sinks(log, quiet or as_json))
    return finished(run, as_json)
