"""``lagbench video``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lagbench.cli.follow import run_directory, starting
from lagbench.cli.options import INTEGER, json_option, quiet_option


@click.command()
@click.argument("run")
@click.option(
    "--episode", type=INTEGER, default=0, show_default=True, help="Index of the episode in the evaluation, from 0."
)
@click.option("--evaluation", type=INTEGER, help="Index of the evaluation, from 0.  [default: the last]")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Output file: .mp4 (H.264) or .gif.")
@json_option
@quiet_option
def command(run: str, episode: int, evaluation: int | None, out: Path, as_json: bool, quiet: bool) -> None:
    """Render a recorded evaluation episode of RUN as a video, in real time.

    \b
    lagbench video RUN -o hopper.mp4
    lagbench video RUN --evaluation 0 --episode 3 -o untrained.gif
    """  # noqa: D301 - click takes the character itself
    quiet = quiet or as_json
    with starting(quiet):
        from lagbench.cli.progress import progress
        from lagbench.records.reader import open_run
        from lagbench.video.film import film

        found = open_run(run_directory(run))
    with progress("drawing", quiet) as report:
        film(found, out, episode, evaluation, report)
    click.echo(json.dumps({"path": str(out)}, indent=2) if as_json else str(out))
