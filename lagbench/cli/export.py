"""``lagbench export``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lagbench.cli.follow import run_directory, starting
from lagbench.cli.options import OneOf, json_option, quiet_option


@click.command()
@click.argument("run")
@click.option(
    "--to",
    required=True,
    type=OneOf(["parquet", "minari", "slim", "huggingface"]),
    help="parquet: one file per table; minari: a dataset of the training episodes; slim: the run without single steps; "
    "huggingface: the trained language model, with its tokenizer.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="A new directory; for Minari the root directory of datasets, as in MINARI_DATASETS_PATH.",
)
@json_option
@quiet_option
def command(run: str, to: str, out: Path, as_json: bool, quiet: bool) -> None:
    """Write RUN's records in another format; for an unfinished run, the committed phases.

    \b
    lagbench export RUN --to parquet -o tables/
    lagbench export RUN --to minari -o ~/.minari/datasets
    lagbench export RUN --to slim -o results/RUN
    lagbench export RUN --to huggingface -o model/
    """  # noqa: D301 - click takes the character itself
    quiet = quiet or as_json
    with starting(quiet):
        from lagbench.cli.progress import progress
        from lagbench.records.export import export
        from lagbench.records.reader import open_run

        found = open_run(run_directory(run))
    with progress("exporting", quiet) as report:
        done = export(found, to, out, report)
    if as_json:
        document = {"path": str(done.path), "dataset_id": done.dataset_id, "rows": done.rows, "notes": done.notes}
        click.echo(json.dumps(document, indent=2))
        return
    if not quiet:
        click.echo("exported: " + ", ".join(f"{n:,} {name}" for name, n in done.rows.items()), err=True)
        for note in done.notes:
            click.echo(note, err=True)
    click.echo(str(done.path))
