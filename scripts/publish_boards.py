"""Write the numbers of the boards, as they are published, beside the submissions that they are computed from.

    python scripts/publish_boards.py

makes leaderboard/boards/<suite>.json for every suite of leaderboard/submissions: what `lagbench leaderboard build` puts
into the site as <suite>/board.json. So a change that moves a number shows which.
"""

from __future__ import annotations

from pathlib import Path

import click

from lagbench import cli
from lagbench.leaderboard import board
from lagbench.leaderboard.site import pages


@click.command()
@click.option(
    "--submissions", type=click.Path(path_type=Path), default=board.SUBMISSIONS, help="The directory of SUITE/SLUG/."
)
@click.option("--boards", type=click.Path(path_type=Path), default=board.BOARDS, help="Where they are written.")
@click.option("--replications", type=int, default=cli.output.REPORT_REPLICATIONS, help="Of the bootstrap.")
def main(submissions: Path, boards: Path, replications: int) -> None:
    """Publish the numbers of all boards."""
    found = board.find(submissions)
    boards.mkdir(parents=True, exist_ok=True)
    for file in boards.glob("*.json"):
        if file.stem not in found:
            file.unlink()
    for suite, paths in found.items():
        made = board.board(suite, board.check(suite, paths), replications=replications)
        file = boards / f"{suite}.json"
        file.write_text(pages.document(made), encoding="utf-8")
        click.echo(f"{file}: {', '.join(entry.slug for entry in made.entries)}")


if __name__ == "__main__":
    main()
