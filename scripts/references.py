"""Measure a suite's reference scores, on seeds outside the suite: the untrained policy, and PPO at lag 0.

    python -m scripts.references mujoco-lite-v1 -o runs/references

runs PPO on every task and updates lagbench/suites/mujoco-1m-v1.references.json, which the suites of that family share
(``--task`` selects tasks). Both references use the suite's evaluation: the mean of version 0 over the seeds, and the
interquartile mean of PPO's final evaluations. Finished runs are kept in results/references-v1.arrow; when started
again, it runs the missing ones.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy import stats

import lagbench
from lagbench import cli
from lagbench.evaluation import evaluate_due
from lagbench.protocol import DEFAULT_EPOCHS
from lagbench.records import environment
from lagbench.records.curve import standard_error
from lagbench.registry import load
from lagbench.settings import own_settings
from lagbench.sinks.description import duration
from lagbench.suites import Suite, references
from lagbench.sweep import cost
from lagbench.sweep.taken import taken
from scripts.results import RESULTS, grow, read

KEPT = RESULTS / "references-v1.arrow"
TRIMMED = 0.25
"""The share trimmed at each end by an interquartile mean."""


def untrained(spec: lagbench.RunSpec) -> float:
    """The mean return of a run's version 0 in its first evaluation, by the scored measure."""
    with own_settings():
        actors = load(spec.domain.actors_class)(spec, 0)
        records = evaluate_due(spec, actors, actors.make_policy().version(0), [0])
    (scored,) = [record for record in records if record.mode == spec.evaluation.measure]
    return float(scored.mean_return)


def start(values: Sequence[float], seeds: Sequence[int]) -> dict[str, Any]:
    """The return that scores 0, in the format of lagbench.suites.references."""
    return _summed(float(np.mean(values)), standard_error(values), values, seeds)


def reference(values: Sequence[float], seeds: Sequence[int]) -> dict[str, Any]:
    """The return that scores 1, with the standard error of a trimmed mean (Tukey and McLaughlin 1963)."""
    error = stats.mstats.trimmed_stde(np.asarray(values), limits=(TRIMMED, TRIMMED))
    return _summed(float(stats.trim_mean(values, TRIMMED)), float(error), values, seeds)


def _summed(mean: float, error: float | None, values: Sequence[float], seeds: Sequence[int]) -> dict[str, Any]:
    return {"mean": mean, "standard_error": error, "seeds": [*seeds], "returns": [*values]}


def reference_options(suite: Suite) -> dict[str, Any]:
    """The options of ``lagbench.resolve`` for PPO at lag 0 with its default updates."""
    updates = DEFAULT_EPOCHS * suite.protocol(suite.values[0]).epoch_updates
    return {**suite.options(0 if suite.axis == "lag" else updates), "updates_fixed": False}


def written(file: Path, document: Any) -> None:
    """Write JSON with each list on one line."""
    text = re.sub(r"\[[^\[\]]*\]", lambda found: " ".join(found[0].split()), json.dumps(document, indent=1))
    file.write_text(text + "\n", encoding="utf-8")


@click.command()
@click.argument("name")
@click.option("--task", "tasks", multiple=True, help="Only of this task. May be repeated.")
@click.option("--seeds", type=cli.options.Seeds(), default="100-119", show_default=True, help="Of PPO's runs.")
@click.option("--start-seeds", type=cli.options.Seeds(), default="100-129", show_default=True, help="Of version 0.")
@click.option("-o", "--out", type=click.Path(path_type=Path), default="runs/references", show_default=True)
@click.option("--results", type=click.Path(path_type=Path), default=KEPT, help="Table of finished runs.")
@click.option("-j", "--jobs", type=int, default=None, help="Runs at once.  [default: one a core]")
@click.option("-q", "--quiet", is_flag=True, help="No progress.")
@click.option("--write", type=click.Path(path_type=Path), help="The file to write.  [default: the suite's]")
def main(
    name: str,
    tasks: Sequence[str],
    seeds: Sequence[int],
    start_seeds: Sequence[int],
    out: Path,
    results: Path,
    jobs: int | None,
    quiet: bool,
    write: Path | None,
) -> None:
    """Measure the references of the suite NAME and of all of its family."""
    suite = lagbench.load_suite(name)
    if suite.references is not None:
        raise click.UsageError(f"{name} has the references of {suite.references}; measure those")
    file = write or Path(str(references.file_of(suite)))
    version = {"name": suite.runs.name, "sha256": suite.runs.sha256}
    document: dict[str, Any] = {"suite": version, "tasks": {}}
    if file.exists():
        document = json.loads(file.read_text(encoding="utf-8"))
    if document["suite"] != version:
        raise click.UsageError(f"{file} belongs to another version of the suite; move it away")
    fixed = reference_options(suite)
    chosen = tasks or suite.tasks
    axes: dict[str, Any] = {name: [x] if name in ("lag", "updates") else x for name, x in fixed.items()}
    axes |= {"algo": ["ppo"], "task": chosen, "seeds": seeds, "record": "episodes"}
    cells = lagbench.plan_grid(out / suite.runs.name, **axes)
    hours = cost.hours(cell.spec for cell in cells)
    about = "" if hours is None else f", about {duration(3600 * hours)} on one core where none is there yet"
    click.echo(f"{len(cells)} runs{about}", err=True)
    lagbench.run_grid(cells, jobs=jobs, watcher=cli.follow.board(out, quiet), taken=taken(cells, read(results)))
    rows = {(row["task"], row["seed"]): row for row in grow(results, out)}
    made = {
        "command": shlex.join(["python", "-m", "scripts.references", *sys.argv[1:]]),
        "packages": {package: environment.installed(package) for package in environment.PACKAGES},
    }
    for task in chosen:
        own = [rows.get((task, seed), {"status": "missing"}) for seed in seeds]
        for seed, row in zip(seeds, own, strict=True):
            if row["status"] != "completed":
                raise click.ClickException(f"seed {seed} on {task} is no reference: it is {row['status']}")
        finals = [row["returns"][-1] for row in own]
        begun = [untrained(lagbench.resolve(task=task, seed=seed, **fixed)) for seed in start_seeds]
        document["tasks"][task] = {"start": start(begun, start_seeds), "reference": reference(finals, seeds), **made}
        written(file, document)
        found = references.read(document["tasks"][task])
        apart = f"{found.apart:.1f} standard errors apart"
        click.echo(f"{task}: {found.start} scores 0, {found.reference} scores 1: {apart}")
    click.echo(str(file))


if __name__ == "__main__":
    main()
