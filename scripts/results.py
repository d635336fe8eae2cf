"""Store finished runs in the repository, as one table, and print their final returns.

    python -m scripts.results mujoco-1m-v1 --from runs/mujoco-1m-v1 --policies

adds new runs to results/mujoco-1m-v1.arrow, and the acting part of their policies of seed 0 to results/policies/, for
``lagbench.load_policy``; without ``--from`` it only prints. A sweep can be continued from the table alone:
``lagbench sweep … --results results/mujoco-1m-v1.arrow``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from lagbench import published
from lagbench.records.files import SCORED
from lagbench.records.reader import open_run
from lagbench.scoring import table
from lagbench.scoring.find import find_runs
from lagbench.sweep.taken import identity

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"


def grow(file: Path, runs: Path) -> list[dict[str, Any]]:
    """Add the finished runs below ``runs`` to the table in ``file``, created if missing; return all of its rows.

    Raises UsageError if a run differs from the table's, and as ``scoring.table.collect``.
    """
    rows = {identity(json.loads(row["spec"])): row for row in read(file)}
    before = len(rows)
    for row in table.collect([runs]).to_pylist() if any(runs.glob("**/spec.json")) else []:
        if row["status"] not in SCORED:
            continue
        row["path"] = Path(row["path"]).relative_to(runs.parent).as_posix()
        first = rows.setdefault(identity(json.loads(row["spec"])), row)
        if first["content_hash"] != row["content_hash"]:
            raise click.ClickException(f"{row['path']} has another result than {first['path']}, which {file} has")
    if len(rows) > before:
        made = table.check(pa.Table.from_pylist([*rows.values()], table.SCHEMA), str(file))
        table.to_file(made, file)
    return read(file)


def keep_policies(runs: Path, directory: Path) -> int:
    """Write the policies to publish of the finished runs below ``runs``; return the number of new ones."""
    written = 0
    for path in find_runs([runs]):
        run = open_run(path)
        file = directory / f"{path.relative_to(runs.parent).as_posix()}.safetensors"
        if run.status in SCORED and run.spec.seed == published.SEED and not file.exists():
            published.write_policy(run, file)
            written += 1
    return written


def read(file: Path) -> list[dict[str, Any]]:
    """Read the rows of a table of runs; none if there is no file."""
    rows: list[dict[str, Any]] = table.from_file(file).to_pylist() if file.exists() else []
    return rows


def finals(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Final returns per seed by algorithm, task and lag or updates, in Markdown, for the runs of one suite."""
    found: dict[str, dict[tuple[str, int, int], dict[int, str]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        final = f"{row['returns'][-1]:.0f}" if row["status"] == "completed" else "diverged"
        found[row["algorithm"]][row["task"], row["lag"], row["updates"]][row["seed"]] = final
    places = sorted({place for by_place in found.values() for place in by_place})
    head = ["algorithm", *(f"{task}, lag {lag}, {updates} updates" for task, lag, updates in places)]
    lines = [
        [name, *(", ".join(text for _, text in sorted(by_place[place].items())) or "–" for place in places)]
        for name, by_place in sorted(found.items())
    ]
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines)]


@click.command()
@click.argument("name")
@click.option("--from", "runs", type=click.Path(exists=True, path_type=Path), help="The directory of a sweep.")
@click.option("--policies", is_flag=True, help="Keep their policies of seed 0 too.")
def main(name: str, runs: Path | None, policies: bool) -> None:
    """Keep and print the results NAME."""
    file = RESULTS / f"{name}.arrow"
    if policies and runs is None:
        raise click.UsageError("--policies are those of the runs in a directory: name it with --from")
    rows = read(file) if runs is None else grow(file, runs)
    if policies and runs is not None:
        click.echo(f"{keep_policies(runs, RESULTS / 'policies')} policies more", err=True)
    click.echo("\n".join(finals(rows)))
    click.echo(f"{len(rows)} runs", err=True)


if __name__ == "__main__":
    main()
