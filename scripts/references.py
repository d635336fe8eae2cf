"""Measure what a suite's scores are normalised by: uniform random actions, and PPO at lag 0 on seeds outside the suite.

    python -m scripts.references mujoco-mini-v0 --task Hopper-v5 --seeds 101-150 -o runs/references/mujoco-mini-v0

writes them to lagbench/suites/mujoco-mini-v0.references.json, beside those of other tasks that are there. Started
again, it runs only what is missing.

    python -m scripts.references mujoco-reuse-mini-v0 --like mujoco-mini-v0

says of a suite in which PPO at lag 0 makes the same runs that its references are the other's.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import lagbench
from lagbench.cli.options import Seeds
from lagbench.records import environment
from lagbench.suites import Suite
from lagbench.tasks.mujoco import ControlTask
from lagbench.tasks.spec import load_task

EPISODES = 100


def random_returns(task: ControlTask, seeds: Sequence[int]) -> NDArray[np.float64]:
    """The return [n] of one episode from each seed, with actions drawn uniformly between the bounds."""
    env = task.make(seeds)
    actions = np.random.default_rng(np.random.SeedSequence(seeds))
    env.reset()
    total, alive = np.zeros(len(seeds)), np.ones(len(seeds), dtype=bool)
    while alive.any():
        _, reward, terminated, truncated, _ = env.step(
            actions.uniform(task.action_space.low, task.action_space.high, env.action_space.shape)
        )
        total += np.where(alive, reward, 0.0)
        alive &= ~(terminated | truncated)
    env.close()
    return total


def reference(values: Sequence[float], seeds: Sequence[int]) -> dict[str, Any]:
    """As lagbench.suites.references reads it."""
    error = np.std(values, ddof=1) / sqrt(len(values))
    return {"mean": float(np.mean(values)), "standard_error": float(error), "seeds": [*seeds], "returns": [*values]}


def random_reference(suite: Suite, task: str) -> dict[str, Any]:
    """That of uniform random actions on one task of a suite."""
    control = load_task(task, suite.data.get("task_options"))
    assert isinstance(control, ControlTask)
    starts = [int(s) for s in np.random.SeedSequence(EPISODES).generate_state(EPISODES) >> 1]
    return reference(random_returns(control, starts).tolist(), starts)


def reference_options(suite: Suite) -> dict[str, Any]:
    """The options of ``lagbench.resolve`` with which PPO at lag 0 makes the updates that it makes by default."""
    value = 0 if suite.axis == "lag" else lagbench.resolve(task=suite.tasks[0]).protocol.updates
    return {**suite.options(value), "updates_fixed": False}


def measure(suite: Suite, task: str, seeds: Sequence[int], out: Path, jobs: int | None) -> dict[str, Any]:
    """Both references of a task."""
    fixed = reference_options(suite)
    options: dict[str, Any] = {name: [x] if name in ("lag", "updates") else x for name, x in fixed.items()}
    cells = lagbench.plan_grid(out, algo=["ppo"], task=[task], seeds=seeds, record="episodes", **options)
    finals = []
    for done in lagbench.run_grid(cells, jobs=jobs):
        assert done.state.status == "completed", done
        finals.append(lagbench.open(done.cell.path).summary["final"]["mode"]["mean"])
    return {"random": random_reference(suite, task), "reference": reference(finals, seeds)}


@click.command()
@click.argument("name")
@click.option("--task", "tasks", multiple=True, help="Only of this task. May be repeated.")
@click.option("--seeds", type=Seeds(), default="101-110", show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="[default: runs/references/NAME]")
@click.option("-j", "--jobs", type=int, default=None, help="Runs at once.  [default: one a core]")
@click.option("--like", help="The suite whose references these are; nothing is run.")
def main(
    name: str, tasks: Sequence[str], seeds: Sequence[int], out: Path | None, jobs: int | None, like: str | None
) -> None:
    """Measure the references of the suite NAME."""
    suite, out = lagbench.load_suite(name), out or Path("runs/references", name)
    file = Path(lagbench.__file__).parent / "suites" / f"{name}.references.json"
    version = {"name": suite.name, "sha256": suite.sha256}
    if like is not None:
        other = lagbench.load_suite(like)
        assert (suite.tasks, reference_options(suite)) == (other.tasks, reference_options(other)), "not the same runs"
        file.write_text(json.dumps({"suite": version, "like": other.name}, indent=1) + "\n", encoding="utf-8")
        click.echo(str(file))
        return
    document: dict[str, Any] = (
        json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"suite": version, "tasks": {}}
    )
    assert document["suite"] == version, f"{file} is of another version of the suite; move it away"
    about = {
        "command": shlex.join(["python", "-m", "scripts.references", *sys.argv[1:]]),
        "packages": {package: environment.installed(package) for package in environment.PACKAGES},
    }
    for task in tasks or suite.tasks:
        document["tasks"][task] = {**measure(suite, task, seeds, out, jobs), **about}
        file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    click.echo(str(file))


if __name__ == "__main__":
    main()
