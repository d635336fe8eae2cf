"""The search of the baselines' hyperparameters, the same for each: one for control, one for language.

Two learning rates × two values of the one parameter that bounds or paces an algorithm's updates, on seeds that no score
uses. Control: Walker2d and HalfCheetah × lags 0 and 32, 500k steps. Language: GSM8kMini at 16 updates a phase, 5,120
completions.

    python -m scripts.search control -o runs/search
    python -m scripts.search language -o runs/search-language

prints the outcome as a table of docs/results.md or docs/gsm8k.md. Started again, it runs only what is missing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

import lagbench
from scripts.references import untrained

SEED = 1000
SUITE = lagbench.load_suite("mujoco-mini-v1")
TASKS, LAGS = ("Walker2d-v5", "HalfCheetah-v5"), (0, 32)
STARTS = range(SEED, SEED + 5)
"""Seeds of the untrained policies that score 0."""
Place = tuple[str, int]
"""Task and value of the axis."""
Finals = Mapping[Place, float]
"""The final return by place."""
Outcomes = Mapping[str, Mapping[tuple[float, float], Finals]]
"""By algorithm and setting: the learning rate, and the value of its own parameter."""


@dataclass(frozen=True)
class Search:
    """What is searched, and on what.

    Attributes:
        axis: ``lag`` or ``updates``.
        points: the options of ``lagbench.plan_grid``, at each value of the axis.
        learning_rates: tried with every algorithm.
        own: the parameter of each algorithm that is searched, and the values that are tried.
        score: of a setting's final returns, given all outcomes; the highest is chosen.
        scored: what that is called.
        shown: how a final return is.
    """

    axis: str
    points: Sequence[Mapping[str, Any]]
    learning_rates: tuple[float, float]
    own: Mapping[str, tuple[str, tuple[float, float]]]
    score: Callable[[Outcomes, Finals], float]
    scored: str
    shown: str

    def cells(self, out: Path) -> list[Any]:
        """Every run."""
        planned = []
        for algorithm, (own, values) in self.own.items():
            config = {"learning_rate": self.learning_rates, own: values}
            for point in self.points:
                planned += lagbench.plan_grid(out, algo=[algorithm], seeds=[SEED], config=config, **point)
        return planned

    def table(self, found: Outcomes) -> list[str]:
        """The outcome in Markdown, a row a configuration; what was chosen is bold. One place is its own score."""
        places = list(next(iter(next(iter(found.values())).values())))
        head = ["algorithm", "learning rate", "its own", *(f"{task}, {self.axis} {value}" for task, value in places)]
        head += [self.scored] if len(places) > 1 else []
        lines = [f"| {' | '.join(head)} |", f"| {' | '.join(['---'] * len(head))} |"]
        for algorithm, outcomes in found.items():
            scores = {setting: self.score(found, finals) for setting, finals in outcomes.items()}
            for setting, finals in outcomes.items():
                mark = "**" if scores[setting] == max(scores.values()) else ""
                own = f"{self.own[algorithm][0]} {setting[1]:g}"
                cells = [f"{setting[0]:g}", own, *(f"{finals[p]:{self.shown}}" for p in places)]
                cells += [f"{scores[setting]:.2f}"] if len(places) > 1 else []
                lines.append(f"| {algorithm} | {' | '.join(f'{mark}{cell}{mark}' for cell in cells)} |")
        return lines


def _control_points() -> list[dict[str, Any]]:
    return [
        {name: [x] if name in ("lag", "updates") else x for name, x in SUITE.options(lag).items()}
        | {"task": TASKS, "record": "episodes", "budget": 500_000}
        for lag in LAGS
    ]


@functools.cache
def _start(task: str) -> float:
    """The return of the untrained policy."""
    options: dict[str, Any] = {**SUITE.options(0), "task": task}
    return float(np.mean([untrained(lagbench.resolve(seed=seed, **options)) for seed in STARTS]))


def _normalised(found: Outcomes, finals: Finals) -> float:
    """The mean over tasks and lags of (return − start) / (default PPO's at lag 0 − start)."""
    base = found["ppo"][3e-4, 0.2]
    return float(np.mean([(x - _start(task)) / (base[task, 0] - _start(task)) for (task, _), x in finals.items()]))


SEARCHES = {
    "control": Search(
        axis="lag",
        points=_control_points(),
        learning_rates=(3e-4, 1e-3),
        own={
            "ppo": ("clip", (0.2, 0.1)),
            "ppo-kl": ("target_kl", (0.01, 0.03)),
            "decoupled-ppo": ("clip", (0.2, 0.1)),
            "spo": ("epsilon", (0.2, 0.1)),
            "impala": ("updates", (8, 16)),
            "vaco": ("delta", (0.2, 0.1)),
            "geppo": ("clip", (0.2, 0.1)),
        },
        score=_normalised,
        scored="mean normalised",
        shown=".0f",
    ),
    "language": Search(
        axis="updates",
        points=[
            {"task": ["GSM8kMini-v0"], "updates": [16], "budget": 5_120, "eval_episodes": 1_200, "eval_intervals": 1}
        ],
        learning_rates=(1e-4, 3e-4),
        own={
            "ppo": ("clip", (0.2, 0.1)),
            "ppo-kl": ("target_kl", (0.01, 0.001)),
            "decoupled-ppo": ("clip", (0.2, 0.1)),
            "spo": ("epsilon", (0.4, 0.2)),
            "impala": ("rho_bar", (1.0, 2.0)),
            "vaco": ("delta", (0.01, 0.003)),
            "geppo": ("clip", (0.2, 0.1)),
        },
        score=lambda found, finals: float(np.mean(list(finals.values()))),
        scored="accuracy",
        shown=".1%",
    ),
}


@click.command()
@click.argument("domain", type=click.Choice(list(SEARCHES)))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True)
@click.option("-j", "--jobs", type=int, default=None, help="Runs at once.  [default: one a core]")
def main(domain: str, out: Path, jobs: int | None) -> None:
    """Run the search on DOMAIN and print what came out."""
    search = SEARCHES[domain]
    found: dict[str, dict[tuple[float, float], dict[Place, float]]] = {}
    for done in lagbench.run_grid(search.cells(out), jobs=jobs):
        spec, run = done.cell.spec, lagbench.open(done.cell.path)
        algorithm, at = spec.algorithm.name, (spec.task, getattr(spec.protocol, search.axis))
        setting = (spec.config["learning_rate"], spec.config[search.own[algorithm][0]])
        returns = [point.mean for point in run.curve()]
        final = returns[-1] if run.status == "completed" else min(returns[0], returns[-1])
        found.setdefault(algorithm, {}).setdefault(setting, {})[at] = final
    click.echo("\n".join(search.table(found)))


if __name__ == "__main__":
    main()
