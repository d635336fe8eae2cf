"""The search of the baselines' hyperparameters on control, the same for each, by the rule of docs/results.md.

    python -m scripts.search -o runs/search-v1 -j 1

Six configurations of each algorithm: two learning rates × three values of its own parameter, on Walker2d-v5 and
HalfCheetah-v5 at lags 0 and 32, half of the suites' budget, on seeds that no score uses. All six run on one seed; the
best two then on two more. What is measured is the final return of sampled actions, between the untrained policy (0)
and a default PPO at lag 0 over five seeds (1), each cell at most 1.5; tasks and lags count alike. Finished runs are
kept in results/search-v1.arrow; started again, it runs what that has not. It prints the table of docs/results.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np

import lagbench
from lagbench import cli
from lagbench.records.curve import standard_error
from lagbench.sweep.taken import taken
from scripts.results import RESULTS, grow, read

SUITE = lagbench.load_suite("mujoco-mini-v1")
TASKS, LAGS = ("Walker2d-v5", "HalfCheetah-v5"), (0, 32)
BUDGET = 500_000
SEED, MORE_SEEDS = 1000, (1001, 1002)
SCALE_SEEDS = tuple(range(1000, 1005))
"""Of the untrained policies that score 0 and of the PPO that scores 1."""
DEFAULT_PPO = {"learning_rate": 3e-4, "clip": 0.2}
MOST = 1.5
"""What a cell counts at most, so that no single one decides."""
_RATES = (3e-4, 1e-3)
_EPOCH = SUITE.protocol(0).epoch_updates

Place = tuple[str, int]
"""Task and lag."""
Setting = tuple[float, float]
"""Learning rate, and the value of the algorithm's own parameter."""
Finals = Mapping[Place, Mapping[int, float]]
"""Final returns by place and seed."""
GRID: Mapping[str, tuple[Sequence[float], str, Sequence[float]]] = {
    "ppo": (_RATES, "clip", (0.1, 0.2, 0.4)),
    "ppo-kl": (_RATES, "target_kl", (0.01, 0.03, 0.1)),
    "decoupled-ppo": (_RATES, "clip", (0.1, 0.2, 0.4)),
    "ppo-ewma": (_RATES, "decay", (0.889, 0.964, 0.988)),
    "impact": (_RATES, "target_every", (1, 2, 4)),
    "spo": (_RATES, "epsilon", (0.2, 0.4, 0.8)),
    # Nothing bounds its updates but their number.
    "impala": ((1e-4, 3e-4), "updates", (_EPOCH, 2 * _EPOCH, 4 * _EPOCH)),
    "vaco": (_RATES, "delta", (0.2, 0.4, 0.8)),
    "geppo": (_RATES, "clip", (0.1, 0.2, 0.4)),
}
"""Learning rates, the parameter of its own and its values: a factor of 2 to 3 apart, on both sides of the paper's."""


@dataclass(frozen=True)
class Scale:
    """What scores 0 and what scores 1, by task."""

    start: Mapping[str, float]
    reference: Mapping[str, float]

    def __call__(self, place: Place, final: float) -> float:
        """The normalised return, capped."""
        start = self.start[place[0]]
        return min((final - start) / (self.reference[place[0]] - start), MOST)


def score(finals: Finals, scale: Scale) -> dict[int, float]:
    """By seed the mean over places, of the seeds that have all of them."""
    seeds = set.intersection(*(set(by_seed) for by_seed in finals.values()))
    return {seed: float(np.mean([scale(p, finals[p][seed]) for p in finals])) for seed in sorted(seeds)}


_Setting = TypeVar("_Setting")


def best(scores: Mapping[_Setting, Mapping[int, float]]) -> list[_Setting]:
    """The settings, the best first: those with more seeds, then by the mean over seeds; ties in the grid's order."""
    return sorted(scores, key=lambda s: (-len(scores[s]), -float(np.mean([*scores[s].values()]))))


def distance(one: Mapping[int, float], other: Mapping[int, float]) -> float:
    """How many standard errors two settings are apart, over the seeds that both have; NaN from a single one."""
    gaps = [one[seed] - other[seed] for seed in one.keys() & other.keys()]
    error = standard_error(gaps)
    return math.nan if not error else float(np.mean(gaps)) / error


def runner(out: Path, results: Path, jobs: int | None, quiet: bool) -> Callable[[Sequence[Any]], list[dict[str, Any]]]:
    """What runs planned cells that the table of results does not have yet, and gives all of its rows."""

    def run(planned: Sequence[Any]) -> list[dict[str, Any]]:
        done = taken(planned, read(results))
        lagbench.run_grid(planned, jobs=jobs, watcher=cli.follow.board(out, quiet), taken=done)
        return grow(results, out)

    return run


def options(lag: int) -> dict[str, Any]:
    """Of ``lagbench.plan_grid``: the suites' protocol at a lag, evaluated at the two ends."""
    fixed = {name: [x] if name in ("lag", "updates") else x for name, x in SUITE.options(lag).items()}
    plan = {"eval_intervals": 1, "eval_mode_episodes": 1, "budget": BUDGET, "record": "episodes"}
    return {name: x for name, x in fixed.items() if name not in ("suite", "updates_fixed")} | plan


def cells(out: Path, algorithm: str, seeds: Sequence[int], settings: Sequence[Setting] | None = None) -> list[Any]:
    """The runs of an algorithm's settings, all of the grid by default, on every place."""
    rates, own, values = GRID[algorithm]
    chosen = settings or [(rate, value) for rate in rates for value in values]
    return [
        cell
        for rate, value in chosen
        for lag in LAGS
        for cell in lagbench.plan_grid(
            out,
            algo=[algorithm],
            task=TASKS,
            seeds=seeds,
            config={"learning_rate": [rate], own: [value]},
            **options(lag),
        )
    ]


def scaling_runs(out: Path) -> list[Any]:
    """The runs of the PPO that scores 1."""
    config = {name: [value] for name, value in DEFAULT_PPO.items()}
    return lagbench.plan_grid(out, algo=["ppo"], task=TASKS, seeds=SCALE_SEEDS, config=config, **options(0))


def found(rows: Sequence[Mapping[str, Any]], algorithm: str) -> dict[Setting, dict[Place, dict[int, float]]]:
    """An algorithm's final returns by setting, from the rows of a table; of a run that diverged the worse of two."""
    rates, own, values = GRID[algorithm]
    outcome: dict[Setting, dict[Place, dict[int, float]]] = {}
    for rate in rates:
        for value in values:
            outcome[rate, value] = {(task, lag): {} for task in TASKS for lag in LAGS}
    for row in rows:
        config = json.loads(row["config"])
        setting = (config["learning_rate"], config.get(own))
        if row["algorithm"] == algorithm and setting in outcome:
            returns = row["returns"]
            final = returns[-1] if row["status"] == "completed" else min(returns[0], returns[-1])
            outcome[setting][row["task"], row["lag"]][row["seed"]] = final
    return outcome


def scale(rows: Sequence[Mapping[str, Any]]) -> Scale:
    """What scores 0 and 1: a default PPO at lag 0 before its first and after its last update."""
    scaling: list[dict[str, list[float]]] = [{task: [] for task in TASKS} for _ in ("start", "reference")]
    for row in rows:
        cell = (row["algorithm"], row["lag"]) == ("ppo", 0) and row["seed"] in SCALE_SEEDS
        if cell and DEFAULT_PPO.items() <= json.loads(row["config"]).items():
            for by_task, end in zip(scaling, (0, -1), strict=True):
                by_task[row["task"]].append(row["returns"][end])
    return Scale(*({task: float(np.mean(returns)) for task, returns in by_task.items()} for by_task in scaling))


def table(rows: Sequence[Mapping[str, Any]], by: Scale, algorithms: Sequence[str]) -> list[str]:
    """The outcome in Markdown, a row a setting; the chosen one is bold."""
    places = [(task, lag) for task in TASKS for lag in LAGS]
    head = ["algorithm", "learning rate", "parameter", *(f"{task}, lag {lag}" for task, lag in places), "score", "lead"]
    lines = [head, ["---"] * len(head)]
    for algorithm in algorithms:
        outcome = found(rows, algorithm)
        scores = {s: score(finals, by) for s, finals in outcome.items()}
        scores = {s: by_seed for s, by_seed in scores.items() if by_seed}
        if not scores:
            continue
        first, *others = best(scores)
        for setting, by_seed in scores.items():
            texts = [f"{setting[0]:g}", f"{GRID[algorithm][1]} {setting[1]:g}"]
            texts += [", ".join(f"{x:.0f}" for _, x in sorted(outcome[setting][p].items())) for p in places]
            texts.append(", ".join(f"{x:.2f}" for x in by_seed.values()))
            if setting == first:
                apart = distance(scores[first], scores[others[0]]) if others else math.nan
                texts = [f"**{text}**" for text in texts]
                texts.append("–" if math.isnan(apart) else f"{apart:.1f} standard errors")
            else:
                texts.append("")
            lines.append([algorithm, *texts])
    return [f"| {' | '.join(line)} |" for line in lines]


@click.command()
@click.option("--algo", "algorithms", multiple=True, type=click.Choice([*GRID]), help="Only this. May be repeated.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default="runs/search-v1", show_default=True)
@click.option(
    "--results", type=click.Path(path_type=Path), default=RESULTS / "search-v1.arrow", help="Of what is finished."
)
@click.option("-j", "--jobs", type=int, default=None, help="Runs at once.  [default: one a core]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def main(algorithms: Sequence[str], out: Path, results: Path, jobs: int | None, quiet: bool) -> None:
    """Run the search and print what came out."""
    chosen = algorithms or [*GRID]
    run = runner(out, results, jobs, quiet)
    rows = run(scaling_runs(out))
    by = scale(rows)
    for algorithm in chosen:
        rows = run(cells(out, algorithm, [SEED]))
        scores = {s: score(finals, by) for s, finals in found(rows, algorithm).items()}
        first_round = {s: {SEED: by_seed[SEED]} for s, by_seed in scores.items()}
        rows = run(cells(out, algorithm, MORE_SEEDS, best(first_round)[:2]))
    click.echo("\n".join(table(rows, by, chosen)))


if __name__ == "__main__":
    main()
