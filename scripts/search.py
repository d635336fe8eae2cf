"""The search of the baselines' hyperparameters for control, the same for each.

Two learning rates × two values of the one parameter that bounds or paces an algorithm's updates, on two tasks × lags 0
and 16, 300k steps, one seed that no score uses.

    python -m scripts.search -o runs/search

prints the outcome as the table of docs/results.md. Started again, it runs only what is missing.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

import lagbench
from scripts.references import random_reference

SEED = 1000
SUITE = lagbench.load_suite("mujoco-mini-v0")
LEARNING_RATES = (3e-4, 1e-3)
OWN: Mapping[str, tuple[str, Sequence[float]]] = {
    "ppo": ("clip", (0.2, 0.1)),
    "ppo-kl": ("target_kl", (0.01, 0.03)),
    "decoupled-ppo": ("clip", (0.2, 0.1)),
    "spo": ("epsilon", (0.2, 0.1)),
    "impala": ("updates", (8, 16)),
    "vaco": ("delta", (0.2, 0.1)),
    "geppo": ("clip", (0.2, 0.1)),
}
Finals = Mapping[tuple[str, int], float]
"""The final return by task and lag."""


def cells(out: Path) -> list[Any]:
    """Every run of the search."""
    planned = []
    for (algorithm, (own, values)), lag in itertools.product(OWN.items(), SUITE.values):
        options: dict[str, Any] = {
            name: [x] if name in ("lag", "updates") else x for name, x in SUITE.options(lag).items()
        }
        config = {"learning_rate": LEARNING_RATES, own: values}
        planned += lagbench.plan_grid(
            out, algo=[algorithm], task=SUITE.tasks, seeds=[SEED], config=config, record="episodes", **options
        )
    return planned


def normalised(finals: Finals, scale: Mapping[str, tuple[float, float]]) -> float:
    """The mean over tasks and lags of (return − random) / (default PPO's at lag 0 − random)."""
    scores = [(final - scale[task][0]) / (scale[task][1] - scale[task][0]) for (task, _), final in finals.items()]
    return float(np.mean(scores))


@functools.cache
def random_return(task: str) -> float:
    """The mean return of uniform random actions."""
    return float(random_reference(SUITE, task)["mean"])


def table(found: Mapping[str, Mapping[tuple[float, float], Finals]], random: Mapping[str, float]) -> list[str]:
    """The outcome in Markdown, a row a configuration; what was chosen is bold."""
    default = {own: values[0] for own, values in OWN.values()}
    base = found["ppo"][LEARNING_RATES[0], default["clip"]]
    scale = {task: (random[task], base[task, 0]) for task in SUITE.tasks}
    columns = [(task, lag) for task in SUITE.tasks for lag in SUITE.values]
    named = " | ".join(f"{task}, lag {lag}" for task, lag in columns)
    lines = [
        f"| algorithm | learning rate | its own | {named} | mean normalised |",
        f"| {' | '.join(['---'] * (len(columns) + 4))} |",
    ]
    for algorithm, outcomes in found.items():
        scores = {setting: normalised(finals, scale) for setting, finals in outcomes.items()}
        for setting, finals in outcomes.items():
            mark = "**" if scores[setting] == max(scores.values()) else ""
            own = f"{OWN[algorithm][0]} {setting[1]:g}"
            cells = [f"{setting[0]:g}", own, *(f"{finals[c]:.0f}" for c in columns), f"{scores[setting]:.2f}"]
            lines.append(f"| {algorithm} | {' | '.join(f'{mark}{cell}{mark}' for cell in cells)} |")
    return lines


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True)
@click.option("-j", "--jobs", type=int, default=None, help="Runs at once.  [default: one a core]")
def main(out: Path, jobs: int | None) -> None:
    """Run the search and print what came out."""
    found: dict[str, dict[tuple[float, float], dict[tuple[str, int], float]]] = {}
    for done in lagbench.run_grid(cells(out), jobs=jobs):
        spec, run = done.cell.spec, lagbench.open(done.cell.path)
        algorithm, at = spec.algorithm.name, (spec.task, spec.protocol.lag)
        setting = (spec.config["learning_rate"], spec.config[OWN[algorithm][0]])
        # A run that diverged scores as the random policy.
        final = run.summary["final"]["mode"]["mean"] if run.status == "completed" else random_return(spec.task)
        found.setdefault(algorithm, {}).setdefault(setting, {})[at] = final
    click.echo("\n".join(table(found, {task: random_return(task) for task in SUITE.tasks})))


if __name__ == "__main__":
    main()
