"""Keep the runs of a suite in the repository, slim, and print their final returns as the table of docs/results.md.

    python -m scripts.results mujoco-mini-v0 --from runs/mujoco-mini-v0

copies what is not there yet to results/mujoco-mini-v0; without ``--from`` it only prints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

import lagbench
from lagbench.records.export import export
from lagbench.scoring.find import find_runs
from lagbench.suites import Suite

RESULTS = Path(__file__).parents[1] / "results"


def keep(sweep: Path, out: Path) -> None:
    """A slim copy of every finished run of a sweep, at the same place below ``out``."""
    for path in find_runs([sweep]):
        run, copy = lagbench.open(path), out / path.relative_to(sweep)
        if not copy.exists() and run.status in ("completed", "diverged"):
            copy.parent.mkdir(parents=True, exist_ok=True)
            export(run, "slim", copy)


def table(suite: Suite, runs: Sequence[lagbench.Run]) -> list[str]:
    """Final returns by algorithm, task and value of the axis, a number a seed, in Markdown."""
    finals: dict[str, dict[tuple[str, int], dict[int, str]]] = {}
    for run in runs:
        spec = run.spec
        column = (spec.task, getattr(spec.protocol, suite.axis))
        cell = finals.setdefault(spec.algorithm.name, {}).setdefault(column, {})
        cell[spec.seed] = f"{run.curve()[-1].mean:.0f}" if run.status == "completed" else "diverged"
    columns = [(task, value) for task in suite.tasks for value in suite.values]
    head = ["algorithm", *(f"{task}, {suite.axis} {value}" for task, value in columns)]
    rows = [
        [name, *(", ".join(at.get(column, {}).get(seed, "–") for seed in suite.seeds) for column in columns)]
        for name, at in sorted(finals.items())
    ]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


@click.command()
@click.argument("name")
@click.option("--from", "sweep", type=click.Path(exists=True, path_type=Path), help="The directory of a sweep.")
def main(name: str, sweep: Path | None) -> None:
    """Keep and print the results of the suite NAME."""
    suite, out = lagbench.load_suite(name), RESULTS / name
    if sweep is not None:
        keep(sweep, out)
    click.echo("\n".join(table(suite, [lagbench.open(path) for path in find_runs([out])])))


if __name__ == "__main__":
    main()
