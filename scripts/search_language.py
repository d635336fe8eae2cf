"""The search of the baselines' presets on language, the same for each.

    python -m scripts.search_language -o runs/search-language-v1 -j 1

Four configurations of each algorithm: two learning rates × two values of its own, on GSM8kMini at lags 0 and 64 of the
protocol of gsm8k-mini-v1, 5,120 completions, on seeds that no score uses. All four run on one seed, the best two then
on two more. What is measured is the final accuracy of sampled answers to questions that are held out of training;
both lags count alike. Finished runs are kept in results/search-language-v1.arrow; started again, it runs what that has
not. It prints the table of docs/gsm8k.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

import lagbench
from scripts.results import RESULTS
from scripts.search import best, distance, runner

SUITE = lagbench.load_suite("gsm8k-mini-v1")
LAGS = (0, 64)
SEED, MORE_SEEDS = 1000, (1001, 1002)
PLAN: Mapping[str, Any] = {
    "budget": 5_120,
    "eval_episodes": 300,
    "eval_mode_episodes": 1,
    "eval_intervals": 1,
    "record": "episodes",
}
"""At lag 64 a fifth of the phases is warm-up; so many questions are held out."""
RATES = (1e-4, 3e-4)
OWN: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "ppo": ({"clip": 0.1}, {"clip": 0.2}),
    "ppo-kl": ({"target_kl": 0.001}, {"target_kl": 0.01}),
    "decoupled-ppo": ({"clip": 0.1}, {"clip": 0.2}),
    # A phase is one update: the average and the target are as old, in updates, as on control.
    "ppo-ewma": ({"decay": 0.889}, {"decay": 0.964}),
    "impact": ({"target_every": 4}, {"target_every": 16}),
    "spo": ({"epsilon": 0.2}, {"epsilon": 0.4}),
    "impala": ({"rho_bar": 1.0}, {"rho_bar": 2.0}),
    "vaco": ({"delta": 0.003}, {"delta": 0.01}),
    "geppo": ({"clip": 0.1}, {"clip": 0.2}),
    "grpo": ({"clip": 0.2, "clip_high": 0.28}, {"clip": 0.1, "clip_high": 0.14}),
    "tis": ({"cap": 2.0}, {"cap": 5.0}),
    "cispo": ({"clip_high": 0.28}, {"clip_high": 4.0}),
    "gspo": ({"clip": 3e-4, "clip_high": 4e-4}, {"clip": 3e-3, "clip_high": 4e-3}),
    "m2po": ({"budget": 0.04}, {"budget": 0.01}),
    "dppo": ({"delta": 0.2}, {"delta": 0.05}),
    "topr": ({"standardize": "none"}, {"standardize": "group"}),
}
"""Two values of what is an algorithm's own; the paper's or the authors' are among them, where there are any."""
KEPT = RESULTS / "search-language-v1.arrow"
Setting = tuple[float, int]
"""The learning rate, and which of ``OWN``."""
Finals = Mapping[int, Mapping[int, float]]
"""Final accuracies by lag and seed."""


def options(lag: int) -> dict[str, Any]:
    """Of ``lagbench.plan_grid``: the suite's protocol at a lag, asked questions that are held out of training."""
    fixed = SUITE.options(lag)
    grid = {name: [fixed[name]] for name in ("lag", "updates")}
    return {**fixed, **grid, **PLAN, "task": SUITE.tasks, "task_options": {**fixed["task_options"], "test": "held-out"}}


def settings() -> list[Setting]:
    """All that are tried of an algorithm."""
    return [(rate, own) for rate in RATES for own in (0, 1)]


def cells(out: Path, algorithm: str, seeds: Sequence[int], chosen: Sequence[Setting]) -> list[Any]:
    """The runs of an algorithm's settings at both lags."""
    return [
        cell
        for rate, own in chosen
        for lag in LAGS
        for cell in lagbench.plan_grid(
            out,
            algo=[algorithm],
            seeds=seeds,
            config={name: [x] for name, x in {"learning_rate": rate, **OWN[algorithm][own]}.items()},
            **options(lag),
        )
    ]


def found(rows: Sequence[Mapping[str, Any]], algorithm: str) -> dict[Setting, dict[int, dict[int, float]]]:
    """An algorithm's final accuracies by setting, from the rows of a table; of a run that diverged the worse of two."""
    outcome: dict[Setting, dict[int, dict[int, float]]] = {s: {lag: {} for lag in LAGS} for s in settings()}
    for row in rows:
        config = json.loads(row["config"])
        for rate, own in settings() if row["algorithm"] == algorithm else ():
            if {"learning_rate": rate, **OWN[algorithm][own]}.items() <= config.items():
                returns = row["returns"]
                final = returns[-1] if row["status"] == "completed" else min(returns[0], returns[-1])
                outcome[rate, own][row["lag"]][row["seed"]] = final
    return outcome


def score(finals: Finals) -> dict[int, float]:
    """By seed the mean over lags, of the seeds that have both."""
    seeds = set.intersection(*(set(by_seed) for by_seed in finals.values()))
    return {seed: float(np.mean([by_seed[seed] for by_seed in finals.values()])) for seed in sorted(seeds)}


def table(rows: Sequence[Mapping[str, Any]], algorithms: Sequence[str]) -> list[str]:
    """The outcome in Markdown, a row a setting; the chosen one is bold."""
    head = ["algorithm", "learning rate", "parameter", *(f"lag {lag}" for lag in LAGS), "both", "lead"]
    lines = [head, ["---"] * len(head)]
    for algorithm in algorithms:
        outcome = found(rows, algorithm)
        scores = {s: by_seed for s, finals in outcome.items() if (by_seed := score(finals))}
        if not scores:
            continue
        first, *others = best(scores)
        for (rate, own), by_seed in scores.items():
            texts = [f"{rate:g}", ", ".join(f"{name} {x}" for name, x in OWN[algorithm][own].items())]
            places = [outcome[rate, own][lag] for lag in LAGS]
            texts += [", ".join(f"{x:.1%}" for _, x in sorted(place.items())) for place in (*places, by_seed)]
            ahead = ""
            if (rate, own) == first:
                apart = distance(scores[first], scores[others[0]]) if others else math.nan
                texts = [f"**{text}**" for text in texts]
                ahead = "–" if math.isnan(apart) else f"{apart:.1f} standard errors"
            lines.append([algorithm, *texts, ahead])
    return [f"| {' | '.join(line)} |" for line in lines]


@click.command()
@click.option("--algo", "algorithms", multiple=True, type=click.Choice([*OWN]), help="Only this. May be repeated.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default="runs/search-language-v1", show_default=True)
@click.option("--results", type=click.Path(path_type=Path), default=KEPT, help="Of what is finished.")
@click.option("-j", "--jobs", type=int, default=None, help="Runs at once.  [default: one a core]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
def main(algorithms: Sequence[str], out: Path, results: Path, jobs: int | None, quiet: bool) -> None:
    """Run the search and print what came out."""
    chosen = algorithms or [*OWN]
    run = runner(out, results, jobs, quiet)
    rows: Sequence[Mapping[str, Any]] = []
    for algorithm in chosen:
        rows = run(cells(out, algorithm, [SEED], settings()))
        scores = {s: score(finals) for s, finals in found(rows, algorithm).items()}
        first_round = {s: {SEED: by_seed[SEED]} for s, by_seed in scores.items()}
        rows = run(cells(out, algorithm, MORE_SEEDS, best(first_round)[:2]))
    click.echo("\n".join(table(rows, chosen)))


if __name__ == "__main__":
    main()
