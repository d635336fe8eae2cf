"""Hyperparameter search for the baselines on control, the same for each, by the rule of docs/results.md.

    python -m scripts.search -o runs/search-v1 -j 1

Six configurations per algorithm: two learning rates × three values of its own parameter, on Walker2d-v5 and
HalfCheetah-v5 at lags 0 and 32, with half of the suites' budget, on seeds that no score uses. All six run on one seed,
the best two on two more. The score is the final return of sampled actions, normalised between the untrained policy (0)
and default PPO at lag 0 over five seeds (1), each cell capped at 1.5; tasks and lags have equal weight. Finished runs
are kept in results/search-v1.arrow; when started again, it runs the missing ones. It prints the table of
docs/results.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np

import lagbench
from lagbench import cli
from lagbench.records.curve import standard_error
from lagbench.sweep.taken import taken
from scripts.results import RESULTS, grow, read

SEED, MORE_SEEDS = 1000, (1001, 1002)
MOST = 1.5
"""Cap of a cell's score, so that no single one decides."""
Place = tuple[str, int]
"""Task and lag."""
Row = Mapping[str, Any]
Config = Mapping[str, Any]
"""A learning rate and an algorithm's own parameters."""
Scores = Mapping[int, float]
"""Scores by seed."""


@dataclass(frozen=True)
class Scale:
    """The returns that score 0 and 1, by task."""

    start: Mapping[str, float]
    reference: Mapping[str, float]

    def __call__(self, place: Place, final: float) -> float:
        """The normalised return, capped."""
        start = self.start[place[0]]
        return min((final - start) / (self.reference[place[0]] - start), MOST)


def best(scores: Mapping[int, Scores]) -> list[int]:
    """The configurations, best first: by number of seeds, then by mean over seeds; ties keep their order."""
    return sorted(scores, key=lambda c: (-len(scores[c]), -float(np.mean([*scores[c].values()]))))


def distance(one: Scores, other: Scores) -> float:
    """The difference of two configurations in standard errors, over their common seeds; NaN for a single seed."""
    gaps = [one[seed] - other[seed] for seed in one.keys() & other.keys()]
    error = standard_error(gaps)
    return math.nan if not error else float(np.mean(gaps)) / error


@dataclass(frozen=True)
class Search:
    """The configurations to try of each algorithm, and the places where they run.

    Attributes:
        tasks: each task with each lag is a place.
        lags: see ``tasks``.
        configs: the configurations of an algorithm, by its name.
        options: the options of ``lagbench.plan_grid`` at a lag.
        heads: column heads of the table: of a place, given task and lag, and of the score.
        forms: number formats of final returns and of scores.
        scale: configuration and seeds of the PPO at lag 0 that scores 1; None if returns are scores.
    """

    tasks: Sequence[str]
    lags: Sequence[int]
    configs: Mapping[str, Sequence[Config]]
    options: Callable[[int], Mapping[str, Any]]
    heads: tuple[str, str]
    forms: tuple[str, str]
    scale: tuple[Config, Sequence[int]] | None = None

    @property
    def places(self) -> list[Place]:
        """The places, in the order of the table."""
        return list(product(self.tasks, self.lags))

    def cells(self, out: Path, algorithm: str, seeds: Sequence[int], chosen: Sequence[int] | None = None) -> list[Any]:
        """The runs of an algorithm's configurations (by default all) in every place."""
        configs = self.configs[algorithm]
        return [
            cell
            for config in (configs if chosen is None else [configs[c] for c in chosen])
            for lag in self.lags
            for cell in self._planned(out, algorithm, seeds, config, lag)
        ]

    def _planned(self, out: Path, algorithm: str, seeds: Sequence[int], config: Config, lag: int) -> list[Any]:
        options = self.options(lag)
        return lagbench.plan_grid(out, algo=algorithm, task=self.tasks, seeds=seeds, config=config, **options)

    def found(self, rows: Sequence[Row], algorithm: str) -> list[dict[Place, dict[int, float]]]:
        """An algorithm's final returns by configuration; for diverged runs, the lower of the first and last return."""
        outcome: list[dict[Place, dict[int, float]]] = [{p: {} for p in self.places} for _ in self.configs[algorithm]]
        for row in rows:
            config, returns = json.loads(row["config"]), row["returns"]
            for finals, own in zip(outcome, self.configs[algorithm], strict=True):
                if row["algorithm"] == algorithm and own.items() <= config.items():
                    final = returns[-1] if row["status"] == "completed" else min(returns[0], returns[-1])
                    finals[row["task"], row["lag"]][row["seed"]] = final
        return outcome

    def scaled(self, rows: Sequence[Row]) -> Callable[[Place, float], float]:
        """Return the normalisation of final returns: default PPO at lag 0 scores 0 untrained, 1 at its end."""
        if self.scale is None:
            return lambda _, final: final
        config, seeds = self.scale
        ends: list[dict[str, list[float]]] = [{task: [] for task in self.tasks} for _ in ("start", "reference")]
        for row in rows:
            cell = (row["algorithm"], row["lag"]) == ("ppo", 0) and row["seed"] in seeds
            if cell and config.items() <= json.loads(row["config"]).items():
                for by_task, end in zip(ends, (0, -1), strict=True):
                    by_task[row["task"]].append(row["returns"][end])
        return Scale(*({task: float(np.mean(returns)) for task, returns in by_task.items()} for by_task in ends))

    def scores(self, rows: Sequence[Row], algorithm: str) -> dict[int, Scores]:
        """Mean scores over places, by configuration and seed, for seeds with results in all places."""
        count = self.scaled(rows)
        scores = {}
        for c, finals in enumerate(self.found(rows, algorithm)):
            seeds = set.intersection(*(set(by_seed) for by_seed in finals.values()))
            scores[c] = {seed: float(np.mean([count(p, finals[p][seed]) for p in finals])) for seed in sorted(seeds)}
        return {c: by_seed for c, by_seed in scores.items() if by_seed}

    def table(self, rows: Sequence[Row], algorithms: Sequence[str]) -> list[str]:
        """The results in Markdown, one row per configuration; the chosen one is bold."""
        places = [self.heads[0].format(task=task, lag=lag) for task, lag in self.places]
        head = ["algorithm", "learning rate", "parameter", *places, self.heads[1], "lead"]
        lines = [head, ["---"] * len(head)]
        for algorithm in algorithms:
            outcome, scores = self.found(rows, algorithm), self.scores(rows, algorithm)
            order = best(scores)
            for c, by_seed in scores.items():
                rate, *own = self.configs[algorithm][c].items()
                texts = [f"{rate[1]:g}", ", ".join(f"{name} {x}" for name, x in own)]
                texts += [_listed(outcome[c][place], self.forms[0]) for place in self.places]
                texts.append(_listed(by_seed, self.forms[1]))
                lead = ""
                if c == order[0]:
                    apart = distance(by_seed, scores[order[1]]) if len(order) > 1 else math.nan
                    texts = [f"**{text}**" for text in texts]
                    lead = "–" if math.isnan(apart) else f"{apart:.1f} standard errors"
                lines.append([algorithm, *texts, lead])
        return [f"| {' | '.join(line)} |" for line in lines]

    def run(self, algorithms: Sequence[str], out: Path, results: Path, jobs: int | None, quiet: bool) -> list[str]:
        """Run what is missing in the table of results; return the results in Markdown."""

        def done(planned: Sequence[Any]) -> list[dict[str, Any]]:
            there = taken(planned, read(results))
            lagbench.run_grid(planned, jobs=jobs, watcher=cli.follow.board(out, quiet), taken=there)
            return grow(results, out)

        if self.scale is not None:
            done(self._planned(out, "ppo", self.scale[1], self.scale[0], 0))
        rows: Sequence[Row] = []
        for algorithm in algorithms:
            rows = done(self.cells(out, algorithm, [SEED]))
            first_round = {c: {SEED: by_seed[SEED]} for c, by_seed in self.scores(rows, algorithm).items()}
            rows = done(self.cells(out, algorithm, MORE_SEEDS, best(first_round)[:2]))
        return self.table(rows, algorithms)


def _listed(by_seed: Mapping[int, float], form: str) -> str:
    return ", ".join(form.format(x) for _, x in sorted(by_seed.items()))


def command(search: Search, name: str) -> click.Command:
    """The command line of a search; its runs and results are named ``name``."""

    @click.command(help="Run the search and print what came out.")
    @click.option("--algo", "algorithms", multiple=True, type=click.Choice([*search.configs]), help="Only this.")
    @click.option("-o", "--out", type=click.Path(path_type=Path), default=f"runs/{name}", show_default=True)
    @click.option(
        "--results", type=click.Path(path_type=Path), default=RESULTS / f"{name}.arrow", help="Table of finished runs."
    )
    @click.option("-j", "--jobs", type=int, default=None, help="Runs at once.  [default: one a core]")
    @click.option("-q", "--quiet", is_flag=True, help="No progress.")
    def main(algorithms: Sequence[str], out: Path, results: Path, jobs: int | None, quiet: bool) -> None:
        click.echo("\n".join(search.run(algorithms or [*search.configs], out, results, jobs, quiet)))

    return main


SUITE = lagbench.load_suite("mujoco-mini-v1")
_EPOCH = SUITE.protocol(0).epoch_updates
_RATES = (3e-4, 1e-3)
_GRID: Mapping[str, tuple[Sequence[float], str, Sequence[float]]] = {
    "ppo": (_RATES, "clip", (0.1, 0.2, 0.4)),
    "ppo-kl": (_RATES, "target_kl", (0.01, 0.03, 0.1)),
    "decoupled-ppo": (_RATES, "clip", (0.1, 0.2, 0.4)),
    "ppo-ewma": (_RATES, "decay", (0.889, 0.964, 0.988)),
    "impact": (_RATES, "target_every", (1, 2, 4)),
    "spo": (_RATES, "epsilon", (0.2, 0.4, 0.8)),
    # Its updates are bounded only in number.
    "impala": ((1e-4, 3e-4), "updates", (_EPOCH, 2 * _EPOCH, 4 * _EPOCH)),
    "vaco": (_RATES, "delta", (0.2, 0.4, 0.8)),
    "geppo": (_RATES, "clip", (0.1, 0.2, 0.4)),
}
"""Learning rates, the algorithm's own parameter and its values: a factor of 2 to 3 apart, around the paper's."""


def _options(lag: int) -> dict[str, Any]:
    """The suites' protocol with half of their budget, evaluated at the start and the end."""
    plan = {"eval_intervals": 1, "eval_mode_episodes": 1, "budget": 500_000, "record": "episodes"}
    return {**SUITE.options(lag), **plan}


CONTROL = Search(
    tasks=("Walker2d-v5", "HalfCheetah-v5"),
    lags=(0, 32),
    configs={
        algorithm: [{"learning_rate": rate, own: value} for rate, value in product(rates, values)]
        for algorithm, (rates, own, values) in _GRID.items()
    },
    options=_options,
    heads=("{task}, lag {lag}", "score"),
    forms=("{:.0f}", "{:.2f}"),
    scale=({"learning_rate": 3e-4, "clip": 0.2}, range(1000, 1005)),
)
main = command(CONTROL, "search-v1")

if __name__ == "__main__":
    main()
