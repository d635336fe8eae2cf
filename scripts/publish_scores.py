"""Make the table of the baselines' scores that ships with lagbench, from the maintainers' runs of a suite or family.

    python scripts/publish_scores.py results/mujoco-1m-v1.arrow

makes leaderboard/scores/mujoco-1m-v1.arrow from a table of scripts/results.py or a directory of runs; the leaderboard,
`lagbench compare` and `lagbench.results` read the baselines from it. For each complete suite it also writes the spreads
of lag scores, from which `lagbench show SUITE` computes its power. The same runs give the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lagbench import Suite, load_suite, scoring, suite_names
from lagbench.leaderboard import published
from lagbench.suites import references

SUITES = Path(__file__).parents[1] / "lagbench/suites"


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--scores", type=click.Path(path_type=Path), default=published.DIRECTORY, help="Where tables are written."
)
@click.option("--powers", type=click.Path(path_type=Path), default=SUITES, help="Where the spreads of scores are.")
def main(runs: tuple[Path, ...], scores: Path, powers: Path) -> None:
    """Publish RUNS, directories or tables by the name that the runs in them have: a suite's, or a family's."""
    scores.mkdir(parents=True, exist_ok=True)
    for path in runs:
        table = published.build(path)
        file = scores / published.file_of(path.stem).name
        scoring.table.to_file(table, file)
        click.echo(f"{file}: {len(table)} runs of {', '.join(published.algorithms(table))}")
        for suite in powered(path.stem, table):
            spreads = powers / scoring.power.file_of(suite).name
            lines = scoring.score.score(table, suite=suite.name).lines
            scoring.power.to_file(suite, {line.label: line.spread for line in lines}, spreads)
            click.echo(str(spreads))


def powered(name: str, table: Any) -> list[Suite]:
    """The suites with references whose runs have this name and are all in the table."""
    found = [suite for suite in map(load_suite, suite_names()) if suite.runs.name == name]
    known = [suite for suite in found if suite.domain.returns_are_scores or references.load(suite) is not None]
    return [suite for suite in known if not _missing(table, suite)]


def _missing(table: Any, suite: Suite) -> bool:
    return any(entry.missing for entry in scoring.grid.read(table, suite=suite.name).entries)


if __name__ == "__main__":
    main()
