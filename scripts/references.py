"""Measure what a suite's scores are normalised by: uniform random actions, and PPO at lag 0 on seeds outside the suite.

    python -m scripts.references mujoco-mini-v0 --seeds 100-119 -o runs/references/mujoco-mini-v0

writes lagbench/suites/mujoco-mini-v0.references.json. Started again, it runs only what is missing.
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


def measure(suite: Suite, seeds: Sequence[int], out: Path, jobs: int | None) -> dict[str, Any]:
    """Both references of every task."""
    # On a forward axis, the updates that a control run makes by default.
    value = 0 if suite.axis == "lag" else lagbench.resolve(task=suite.tasks[0]).protocol.updates
    options: dict[str, Any] = {
        name: [x] if name in ("lag", "updates") else x for name, x in suite.options(value).items()
    }
    cells = lagbench.plan_grid(out, algo=["ppo"], task=suite.tasks, seeds=seeds, record="episodes", **options)
    finals: dict[str, list[float]] = {task: [] for task in suite.tasks}
    for done in lagbench.run_grid(cells, jobs=jobs):
        assert done.state.status == "completed", done
        final = lagbench.open(done.cell.path).summary["final"]["mode"]["mean"]
        finals[done.cell.spec.task].append(final)
    return {
        task: {"random": random_reference(suite, task), "reference": reference(finals[task], seeds)}
        for task in suite.tasks
    }


@click.command()
@click.argument("name")
@click.option("--seeds", type=Seeds(), default="100-109", show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True)
@click.option("-j", "--jobs", type=int, default=None, help="Runs at once.  [default: one a core]")
def main(name: str, seeds: Sequence[int], out: Path, jobs: int | None) -> None:
    """Measure the references of the suite NAME."""
    suite = lagbench.load_suite(name)
    document = {
        "suite": {"name": suite.name, "sha256": suite.sha256},
        "command": shlex.join(["python", "-m", "scripts.references", *sys.argv[1:]]),
        "packages": {package: environment.installed(package) for package in environment.PACKAGES},
        "tasks": measure(suite, seeds, out, jobs),
    }
    file = Path(lagbench.__file__).parent / "suites" / f"{name}.references.json"
    file.write_text(json.dumps(document, indent=1) + "\n")
    click.echo(str(file))


if __name__ == "__main__":
    main()
