"""``lagbench export``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lagbench.cli.options import json_option, quiet_option


@click.command()
@click.argument("run")
@click.option("--to", required=True, metavar="FORMAT", help="parquet: one file a table; minari: the training episodes.")
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="Parquet: a new directory. Minari: a root of datasets, as MINARI_DATASETS_PATH names one.",
)
@json_option
@quiet_option
def command(run: str, to: str, out: Path, as_json: bool, quiet: bool) -> None:
    """Write RUN's records in another format.

    \b
    lagbench export RUN --to parquet -o tables/
    lagbench export RUN --to minari -o ~/.minari/datasets

    Of a run that is not finished, what it has committed.
    """
    from lagbench.cli.progress import progress
    from lagbench.records.export import export
    from lagbench.records.reader import find_run, open_run

    with progress("exporting", quiet or as_json) as report:
        done = export(open_run(find_run(run)), to, out, report)
    if as_json:
        document = {"path": str(done.path), "dataset_id": done.dataset_id, "rows": done.rows, "notes": done.notes}
        click.echo(json.dumps(document, indent=2))
        return
    if not quiet:
        counts = ", ".join(f"{n:,} {name}" for name, n in done.rows.items())
        click.echo(f"exported: {counts}", err=True)
        for note in done.notes:
            click.echo(note, err=True)
    click.echo(str(done.path))
