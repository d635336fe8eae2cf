"""Make the table of published runs that ships with lagbench, from the runs of a suite.

    python scripts/publish_scores.py mujoco-mini-v0

makes leaderboard/scores/mujoco-mini-v0.arrow from the submissions to that suite that are verified, or where there are
none from results/mujoco-mini-v0; without a name, those of every suite that either has. Of each suite that can be run
and is there whole it also writes the spreads of lag scores, from which `lagbench show SUITE` says its power. The same
runs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lagbench import Suite, load_suite, scoring, suite_names
from lagbench.leaderboard import board, published, states
from lagbench.suites import references

ROOT = Path(__file__).parents[1]
SUITES = ROOT / "lagbench/suites"


@click.command()
@click.argument("suites", nargs=-1)
@click.option("--submissions", type=click.Path(path_type=Path), default=board.SUBMISSIONS, help="That of SUITE/SLUG/.")
@click.option("--results", type=click.Path(path_type=Path), default=ROOT / "results", help="The directory of SUITE/.")
@click.option(
    "--scores", type=click.Path(path_type=Path), default=published.DIRECTORY, help="Where tables are written."
)
@click.option("--powers", type=click.Path(path_type=Path), default=SUITES, help="Where the spreads of scores are.")
def main(suites: tuple[str, ...], submissions: Path, results: Path, scores: Path, powers: Path) -> None:
    """Publish the runs of SUITES."""
    scores.mkdir(parents=True, exist_ok=True)
    found = board.find(submissions) if submissions.is_dir() else {}
    for name in suites or sorted({*found, *published.runs_in(results)}):
        table = made(name, found, results)
        file = scores / published.file_of(name).name
        scoring.table.to_file(table, file)
        click.echo(f"{file}: {len(table)} runs of {', '.join(published.algorithms(table))}")
        for suite in powered(name, table):
            spreads = powers / scoring.power.file_of(suite).name
            lines = scoring.score.score(table, suite=suite.name).lines
            scoring.power.to_file(suite, {line.label: line.spread for line in lines}, spreads)
            click.echo(str(spreads))


def powered(name: str, table: Any) -> list[Suite]:
    """The suites with references whose runs have that name, and all are in the table."""
    found = [suite for suite in map(load_suite, suite_names()) if suite.runs.name == name]
    known = [suite for suite in found if suite.domain.returns_are_scores or references.load(suite) is not None]
    return [suite for suite in known if not _missing(table, suite)]


def _missing(table: Any, suite: Suite) -> bool:
    return any(entry.missing for entry in scoring.grid.read(table, suite=suite.name).entries)


def made(suite: str, submissions: Mapping[str, Sequence[Path]], results: Path) -> Any:
    """The table of a suite, given the directories of submissions by suite."""
    checked = board.check(suite, submissions.get(suite, ()))
    tables = {one.slug: one.validation.table for one in checked if one.state.reaches(states.REEVALUATED)}
    return published.of_submissions(suite, tables) if tables else published.build(results / suite, results.parent)


if __name__ == "__main__":
    main()
