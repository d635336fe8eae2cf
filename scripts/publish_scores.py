"""Make the table of published runs that ships with lagbench, from the runs of a suite.

    python scripts/publish_scores.py mujoco-mini-v0

makes leaderboard/scores/mujoco-mini-v0.arrow from results/mujoco-mini-v0; without a name, those of every suite that
results/ has. The same runs give the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import click

from lagbench import scoring
from lagbench.leaderboard import published

ROOT = Path(__file__).parents[1]


@click.command()
@click.argument("suites", nargs=-1)
@click.option("--results", type=click.Path(path_type=Path), default=ROOT / "results", help="The directory of SUITE/.")
@click.option(
    "--scores", type=click.Path(path_type=Path), default=published.DIRECTORY, help="Where tables are written."
)
def main(suites: tuple[str, ...], results: Path, scores: Path) -> None:
    """Publish the runs of SUITES."""
    scores.mkdir(parents=True, exist_ok=True)
    for name in suites or published.suites_in(results):
        table = published.build(results / name, results.parent)
        file = scores / published.file_of(name).name
        scoring.table.to_file(table, file)
        click.echo(f"{file}: {len(table)} runs of {', '.join(published.algorithms(table))}")


if __name__ == "__main__":
    main()
