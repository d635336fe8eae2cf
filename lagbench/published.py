"""Load published evaluations and policies, or those of your own runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lagbench import registry, suites
from lagbench.errors import LagbenchError, UsageError, unknown
from lagbench.records.files import explained, replacing
from lagbench.records.reader import Run, find_run, open_run
from lagbench.records.table_file import unreadable
from lagbench.scoring import table
from lagbench.settings import own_settings
from lagbench.spec import RunSpec
from lagbench.suites import Suite

if TYPE_CHECKING:
    from lagbench.policies.base import Policy

POLICIES = Path(__file__).parents[1] / "results/policies"
"""Published policies in a checkout, by the paths of their runs; the package contains none."""
SEED = 0
"""The seed of the runs whose policies are published."""
_SUFFIX = ".safetensors"
_EVALUATION = {
    "fraction": "fractions",
    "mean_return": "returns",
    "standard_error": "errors",
    "mode_mean_return": "mode_returns",
    "mode_standard_error": "mode_errors",
}
"""Columns of an evaluation, and their names in ``scoring.table``."""
_RUN = ("algorithm", "config", "suite", "task", "lag", "updates", "forward", "budget", "seed", "status")
SCHEMA = pa.schema([*map(table.SCHEMA.field, _RUN), *((name, pa.float64()) for name in _EVALUATION)])


def results(source: str | Path) -> Any:
    """Every evaluation of the published runs of a suite, or of runs of your own.

    Args:
        source: a suite's name, a directory of runs, or a table that ``lagbench score RUNS --table FILE`` wrote.

    Returns:
        A pyarrow table with one row per evaluation, by algorithm, task, lag, updates, seed and ``fraction`` of the
            budget. ``mean_return`` and ``standard_error`` are over the scored episodes, ``mode_…`` over those with the
            mean action, null if there are none.

    Raises:
        LagbenchError: nothing is published for the suite, or a run cannot be read.
        UsageError: there is neither a suite nor a file or directory of that name.
    """
    path = Path(source)
    if path.is_dir():
        return _evaluations(table.collect([path]))
    if path.is_file():
        return _evaluations(table.from_file(path))
    suite = suites.load(str(source))
    directories = [registry.load(target) for target in registry.results().values()]
    files = {file.stem: file for directory in directories for file in sorted(directory.glob("*.arrow"))}
    if suite.runs.name not in files:
        have = [name for name in suites.names() if suites.load(name).runs.name in files]
        raise LagbenchError(
            f"no results are published for {suite.name} (published: {', '.join(have) or 'none yet'}); run the "
            f"baselines, lagbench sweep --suite {suite.name} --algo ppo,vaco -o RUNS, and read those: "
            "lagbench.results('RUNS')"
        )
    return _evaluations(table.from_file(files[suite.runs.name]), suite)


def _evaluations(runs: Any, suite: Suite | None = None) -> Any:
    rows = []
    for run in runs.to_pylist():
        if suite is not None and not (suite.has(run) and run["seed"] in suite.seeds):
            continue
        for i in range(len(run["fractions"])):
            evaluation = {name: run[many][i] if run[many] else None for name, many in _EVALUATION.items()}
            rows.append({**{name: run[name] for name in _RUN}, **evaluation})
    return pa.Table.from_pylist(rows, SCHEMA)


@own_settings()
def load_policy(
    name: str | Path,
    suite: str | None = None,
    *,
    task: str | None = None,
    lag: int | None = None,
    updates: int | None = None,
) -> Policy:
    """The policy at the end of a published run or of your own run.

    Published policies are those of seed 0 of each cell, in the repository and not in the package. Only their acting
    weights are published: the critic is the untrained one of version 0.

    Args:
        name: an algorithm; or, without a suite, the directory of a run.
        suite: the suite that contains the cell.
        task: the cell's task.
        lag: the cell's lag, in a suite that varies lag.
        updates: the cell's updates per phase, in a suite that varies them.

    Returns:
        The policy, on the CPU.

    Raises:
        UsageError: the suite has no such cell, or no algorithm of that name is published for it.
        LagbenchError: no policy is published for that cell.
        RecordError: there is no such run, it has no policy, or the file is damaged.
    """
    axes = {"lag": lag, "updates": updates}
    if suite is None:
        if named := [f"{key}={value!r}" for key, value in {"task": task, **axes}.items() if value is not None]:
            raise UsageError(f"{', '.join(named)} chooses a cell of a suite: give the suite too, after {str(name)!r}")
        return open_run(find_run(str(name))).policy()
    whole = suites.load(suite)
    value = axes.pop(whole.axis)
    for other, odd in axes.items():
        if odd is not None:
            raise UsageError(f"{whole.name} varies {whole.axis}: choose a cell by it, not by {other}={odd}")
    task, value = whole.place(task, value)
    protocol = whole.protocol(value)
    known = sorted(path.name for path in (POLICIES / whole.runs.name / task).glob("*") if path.is_dir())
    if known and name not in known:
        raise unknown("published algorithm", str(name), known)
    stem = f"lag{protocol.lag}-u{protocol.updates}-seed{SEED}"
    file = POLICIES / whole.runs.name / task / str(name) / f"{stem}{_SUFFIX}"
    if not file.is_file():
        raise LagbenchError(
            f"no policy of {name} on {task} at {whole.axis} {value} lies in {POLICIES}, where a checkout has those "
            f"that are published; train one, lagbench run --suite {whole.name} --task {task} --{whole.axis} {value} "
            f"--algo {name} -o RUN, and load that: lagbench.load_policy('RUN')"
        )
    return _read(file)


def _read(file: Path) -> Policy:
    import safetensors

    try:
        with safetensors.safe_open(file, framework="pt") as opened:
            spec = RunSpec.from_json(json.loads(opened.metadata()["spec"]))
            state = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 - no mapping
        policy: Policy = registry.load(spec.domain.actors_class)(spec, 1).make_policy()
        acting = {key: x for key, x in policy.state_dict().items() if key in state}
        if acting.keys() != state.keys() or not _acting(policy) <= state.keys():
            raise KeyError("it is of another network")
        policy.load_state_dict(state, strict=False)
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, safetensors.SafetensorError) as error:
        raise unreadable(file, error) from error
    return policy


def write_policy(run: Run, file: Path) -> None:
    """Write a finished run's specification and the acting weights of its policy. Raises RecordError."""
    import safetensors.torch

    policy = run.policy()
    acting = _acting(policy)
    state = {key: x for key, x in policy.state_dict().items() if key in acting}
    content = safetensors.torch.save(state, {"spec": table.canonical(run.spec.to_json())})
    with explained(file, "try again"):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as out:
            out.write(content)


def _acting(policy: Policy) -> set[str]:
    """The names, in the policy's state, of the tensors that acting needs."""
    own = policy.acting_state()
    return {key for key in policy.state_dict() if any(key == name or key.endswith(f".{name}") for name in own)}
