"""A table of runs as a grid: existing and missing cells, and checks of which runs can be combined."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from lagbench import domain, suites
from lagbench.domain import ActionMode, Domain
from lagbench.errors import LagbenchError, UsageError, unknown
from lagbench.protocol import ForwardMode
from lagbench.records.files import SCORED
from lagbench.scoring.course import DIAGNOSTICS
from lagbench.scoring.table import plan_of
from lagbench.seeding import DRAWN
from lagbench.spec import SuiteVersion, differences
from lagbench.suites import Axis, Suite
from lagbench.tasks import spec as tasks

FEW_SEEDS = 3
"""With fewer seeds intervals are not informative, as the output states."""
_LISTED = 3


@dataclass(frozen=True)
class ScoredRun:
    """A finished run.

    Attributes:
        seed: its seed.
        returns: mean returns at the planned fractions of the budget; fewer if it diverged.
        diverged: whether it diverged.
        measured: diagnostics and the algorithm's metrics, as means over its phases.
        mode_returns: returns with the mean action or greedy answers; empty in a plan of version 0.
    """

    seed: int
    returns: tuple[float, ...]
    diverged: bool
    measured: Mapping[str, float] = field(default_factory=dict)
    mode_returns: tuple[float, ...] = ()


@dataclass(frozen=True)
class Entry:
    """One line of every table: an algorithm with one set of hyperparameters.

    Attributes:
        label: the algorithm's name, with swept hyperparameters if any.
        algorithm: its name.
        source: SHA-256 of its source, or distribution and version; several if it changed between runs.
        config: its hyperparameters.
        runs: finished runs by (value of the axis, task), in order of seeds.
        missing: missing cells, one phrase per task and value.
    """

    label: str
    algorithm: str
    source: tuple[str, ...]
    config: Mapping[str, Any]
    runs: Mapping[tuple[int, str], tuple[ScoredRun, ...]]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """Entries × values of the axis × tasks × seeds.

    Attributes:
        suite: the suite of the runs; None outside suites.
        measure: how actions were chosen in the scored evaluations.
        axis: ``lag`` or ``updates``.
        forward: ``reuse`` or ``split``.
        values: values of the axis, in increasing order.
        tasks: task ids.
        seeds: seeds of the runs.
        budget: budget of each run, in the unit of the domain.
        fractions: fractions of the budget at which evaluations are.
        entries: the lines of every table.
        notes: remarks on the numbers.
    """

    suite: SuiteVersion | None
    measure: ActionMode
    axis: Axis
    forward: ForwardMode
    values: tuple[int, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    budget: int
    fractions: tuple[float, ...]
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]


def read(table: Any, by: Sequence[str] = (), suite: str | None = None) -> Grid:
    """The grid of a table's runs.

    Args:
        table: one row per run.
        by: hyperparameters that split an algorithm into entries.
        suite: for runs of a family, the suite whose cells are scored; other runs are left out. By default, the smallest
            suite of the family that contains all runs.

    Returns:
        The grid, with missing cells.

    Raises:
        UsageError: runs cannot be scored together: they differ in suite or its version, protocol, configuration or
            EnvPool minor version, or are different runs of one cell.
        LagbenchError: no run is finished.
    """
    rows = table.to_pylist(maps_as_pydicts="strict")
    _check_finished(rows)
    whole = _suite(rows, suite)
    left_out = [row["path"] for row in rows if suite and whole and not whole.has(row)]
    rows = [row for row in rows if row["path"] not in left_out]
    _check_finished(rows)
    _check_envpool(rows)
    axis = whole.axis if whole else _axis(rows)
    if whole:
        _check_cells(rows, whole)
    _check_alike(rows, axis)
    values = whole.values if whole else tuple(sorted({row[axis] for row in rows}))
    tasks = whole.tasks if whole else tuple(sorted({row["task"] for row in rows}))
    seeds = tuple(whole.seeds) if whole else tuple(sorted({row["seed"] for row in rows}))
    split = _split(rows, by)
    _check_configurations(split)
    measure = plan_of(rows[0]).measure
    notes = [
        *_former(rows[0]),
        *_own_network(rows[0]),
        *_left_out(left_out, suite),
        *_statuses(rows),
        *_versions(split),
    ]
    entries = []
    for label, own in split.items():
        runs, copies = _runs(own, axis, label)
        notes += copies
        entries.append(
            Entry(
                label=label,
                algorithm=own[0]["algorithm"],
                source=tuple(sorted({row["algorithm_source"] for row in own} - {None})),
                config=json.loads(own[0]["config"]),
                runs=runs,
                # In a rerun only cells of its own seeds can be missing; its record says whether it is partial.
                missing=_missing(runs, axis, values, tasks, (_drawn(own) if whole else ()) or seeds),
            )
        )
    notes += _gaps(entries, len(values) * len(tasks) * len(seeds))
    notes += _few(entries, axis)
    return Grid(
        suite=whole.version if whole else None,
        measure=measure,
        axis=axis,
        forward=rows[0]["forward"],
        values=values,
        tasks=tasks,
        seeds=seeds,
        budget=rows[0]["budget"],
        fractions=plan_of(rows[0]).fractions,
        entries=tuple(entries),
        notes=tuple(notes),
    )


def short_source(source: str) -> str:
    """An algorithm's source in short form.

    Args:
        source: a SHA-256, or distribution and version.

    Returns:
        The first characters of a SHA-256; else ``source``.
    """
    return source if " " in source else f"{source[:12]}…"


def _finished(row: Mapping[str, Any]) -> bool:
    return row["status"] in SCORED


def _check_finished(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        raise UsageError("the table has no runs")
    if any(map(_finished, rows)):
        return
    counts = Counter(row["status"] for row in rows)
    found = " and ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    first = min((row["path"] for row in rows if row["status"] == "unfinished"), default=None)
    hint = f"resume one with: lagbench resume {first}" if first else f"see: lagbench show {rows[0]['path']}"
    raise LagbenchError(f"no run is finished ({found}), so there is nothing to score; {hint}")


def _suite(rows: Sequence[Mapping[str, Any]], chosen: str | None) -> Suite | None:
    """The common suite of all runs, or the ``chosen`` one of their family; None outside suites."""
    versions = Counter((row["suite"], row["suite_sha256"]) for row in rows)
    if len(versions) > 1:
        found = _named(
            (f"{n} of {name} ({sha256[:12]}…)" if name else f"{n} of no suite", name or "")
            for (name, sha256), n in versions.items()
        )
        raise UsageError(f"runs of more than one suite cannot be scored together ({found}); score them separately")
    ((name, sha256),) = versions
    if name is None and chosen is None:
        return None
    if name is None or (chosen is not None and suites.load(chosen).runs.name != name):
        raise UsageError(f"the runs are of {name or 'no suite'}, and none belongs to {chosen}")
    family = suites.of_runs(name) or [suites.load(name)]
    if (here := family[0].runs.sha256) != sha256:
        raise UsageError(
            f"the runs are of another version of {name} ({sha256[:12]}…) than this lagbench's ({here[:12]}…); score "
            f"them with the version of lagbench that ran them"
        )
    if chosen is not None:
        return suites.load(chosen)
    return next((suite for suite in family if all(map(suite.has, rows))), family[-1])


def _own_network(row: Mapping[str, Any]) -> list[str]:
    if (policy := json.loads(row["spec"]).get("policy")) is None:
        return []
    return [f"the networks are those of {policy['name']}, which are not the benchmark's"]


def _drawn(rows: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """The drawn seeds of a rerun, which no suite has; empty for other runs."""
    return tuple(sorted({row["seed"] for row in rows if row["seed"] >= DRAWN}))


def _check_envpool(rows: Sequence[Mapping[str, Any]]) -> None:
    minors = Counter(minor for row in rows for minor in {".".join(v.split(".")[:2]) for v in row["envpool"]})
    if len(minors) > 1:
        found = _named((f"{n} with {minor}", minor) for minor, n in minors.items())
        raise UsageError(
            f"runs with several minor versions of EnvPool, whose physics differ, cannot be scored together ({found}); "
            f"score "
            f"them separately"
        )


def _conditions(row: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions that must be equal in all runs except for the axis, as a nested document."""
    return {
        "protocol": json.loads(row["protocol"]),
        "budget": row["budget"],
        "evaluation": plan_of(row).to_json(),
        **({} if (policy := json.loads(row["spec"]).get("policy")) is None else {"policy": policy}),
    }


def _but_for(axis: Axis, row: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions without the axis and what depends on it."""
    conditions = _conditions(row)
    follows: set[str] = {axis}
    if axis == "updates" and row["forward"] == "split":
        # The samples of a phase depend on its updates; on some domains so does the number of actors.
        follows |= {"phase_steps"} if domain_of(row["task"]).actors else {"phase_steps", "actors"}
    return {**conditions, "protocol": {k: v for k, v in conditions["protocol"].items() if k not in follows}}


def domain_of(task: str) -> Domain:
    """A task's domain.

    Args:
        task: task id.

    Returns:
        The domain; control for a task that is not registered here.
    """
    try:
        return tasks.domain_of(task)
    except UsageError:
        return domain.CONTROL


def _axis(rows: Sequence[Mapping[str, Any]]) -> Axis:
    """The axis of runs outside suites: updates if only they vary, else lag."""
    lags, updates = {row["lag"] for row in rows}, {row["updates"] for row in rows}
    if len(lags) > 1 and len(updates) > 1:
        raise UsageError(
            f"the runs vary both in lag ({_numbers(lags)}) and in updates ({_numbers(updates)}); score one of the two "
            "at a time"
        )
    return "updates" if len(updates) > 1 else "lag"


def _check_alike(rows: Sequence[Mapping[str, Any]], axis: Axis) -> None:
    tasks: dict[str, Mapping[str, Any]] = {}
    values: dict[int, Mapping[str, Any]] = {}
    for row in rows:
        comparisons: tuple[tuple[Mapping[str, Any], Callable[[Mapping[str, Any]], dict[str, Any]]], ...] = (
            (rows[0], functools.partial(_but_for, axis)),
            (values.setdefault(row[axis], row), _conditions),
            (tasks.setdefault(row["task"], row), lambda of: json.loads(of["task_options"])),
        )
        for other, what in comparisons:
            if changed := differences(what(row), what(other)):
                raise _different(row["path"], other["path"], changed)


def _check_cells(rows: Sequence[Mapping[str, Any]], suite: Suite) -> None:
    """Raise UsageError if a run is not one of the suite's cells.

    A suite does not fix external data, such as a model from the hub, but they must be the same in all runs.
    """
    firsts: dict[str, tuple[dict[str, Any], str]] = {}
    for row in rows:
        place = suite.cell_of(row)
        if not suite.has(row):
            raise UsageError(
                f"{row['path']} is not a run of {suite.name}, which has no {place[0]}, {suite.axis} {place[1]}, "
                f"seed {place[2]}"
            )
        options = json.loads(row["task_options"])
        found = {**_conditions(row), "task_options": options}
        planned = {name: x for name, x in suite.planned(*place).items() if name in found}
        # Only the task knows its pins, and loading it takes a second.
        more = options.keys() - planned["task_options"].keys()
        pins = {name: options.pop(name) for name in (more and suite.pins(row["task"])) & more}
        if changed := differences(found, planned):
            raise UsageError(f"{row['path']} is not a run of {suite.name}: {'; '.join(changed)} in the suite")
        first, path = firsts.setdefault(row["task"], (pins, row["path"]))
        if changed := differences(pins, first):
            raise _different(row["path"], path, changed)


def _different(path: str, other: str, changed: Sequence[str]) -> UsageError:
    return UsageError(
        f"runs under different conditions cannot be scored together: against {other}, in {path} {'; '.join(changed)}"
    )


def _split(rows: Iterable[Mapping[str, Any]], by: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Label → rows, sorted by the parts of the label. Raises UsageError for a name that no configuration has."""
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    known: set[str] = set()
    for row in rows:
        config = json.loads(row["config"])
        known |= config.keys()
        swept = [(name, config[name]) for name in by if name in config]
        found.setdefault((row["algorithm"], *swept), []).append(row)
    for name in by:
        if name not in known:
            raise unknown("hyperparameter", name, known)

    def order(key: tuple[Any, ...]) -> list[Any]:
        # Values of a hyperparameter may differ in type or be None: sort numbers by size, others as text.
        return [key[0], *((n, isinstance(v, str), v is None, v if _numeric(v) else 0, str(v)) for n, v in key[1:])]

    return {
        " ".join([key[0], *(f"{name}={_text(value)}" for name, value in key[1:])]): found[key]
        for key in sorted(found, key=order)
    }


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float)


def _text(value: Any) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _check_configurations(split: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    for label, rows in split.items():
        configs = [json.loads(text) for text in sorted({row["config"] for row in rows})]
        for before, now in pairwise(configs):
            names = sorted(k for k in before.keys() | now.keys() if before.get(k) != now.get(k))
            values = "; ".join(f"{k} is {_text(before.get(k))} and {_text(now.get(k))}" for k in names)
            raise UsageError(
                f"{label} was run with {len(configs)} configurations: {values}; score them separately, or as separate "
                f"rows: {' '.join(f'--by {k}' for k in names)}"
            )


def _runs(
    rows: Sequence[Mapping[str, Any]], axis: Axis, label: str
) -> tuple[dict[tuple[int, str], tuple[ScoredRun, ...]], list[str]]:
    """An entry's finished runs by cell, and a note for each copy. Raises UsageError for different runs of one cell."""
    cells: dict[tuple[int, str, int], Mapping[str, Any]] = {}
    notes = []
    for row in filter(_finished, rows):
        cell = (row[axis], row["task"], row["seed"])
        first = cells.setdefault(cell, row)
        if first is row:
            continue
        if _came_out(first) != _came_out(row):
            raise UsageError(
                f"seed {row['seed']} of {label} on {row['task']} at {axis} {row[axis]} was run twice, with different "
                f"results: {first['path']} and {row['path']}; leave one out"
            )
        notes.append(f"{row['path']} is a copy of {first['path']}, and counts once")
    found: dict[tuple[int, str], tuple[ScoredRun, ...]] = {}
    for (value, task, seed), row in sorted(cells.items(), key=lambda item: item[0]):
        run = ScoredRun(
            seed, tuple(row["returns"]), row["status"] == "diverged", _measured(row), tuple(row["mode_returns"])
        )
        found[value, task] = (*found.get((value, task), ()), run)
    return found, notes


_OF_A_COPY = {"algorithm_source", "path", "content_hash", "lagbench", "envpool", "environment", "spec"}


def _came_out(row: Mapping[str, Any]) -> str:
    """All results of a run, exactly. The content hash depends on what is recorded, and is left out."""
    return repr({name: x for name, x in sorted(row.items()) if name not in _OF_A_COPY})


def _measured(row: Mapping[str, Any]) -> dict[str, float]:
    known = {name: row[name] for name in DIAGNOSTICS if row[name] is not None}
    return {**known, **dict(row["metrics"] or {})}


def _missing(
    runs: Mapping[tuple[int, str], Sequence[ScoredRun]],
    axis: Axis,
    values: Sequence[int],
    tasks: Sequence[str],
    seeds: Sequence[int],
) -> tuple[str, ...]:
    phrases = []
    for task in tasks:
        for value in values:
            there = {run.seed for run in runs.get((value, task), ())}
            if lacking := [seed for seed in seeds if seed not in there]:
                phrases.append(f"{task} at {axis} {value}, seed{'s' * (len(lacking) > 1)} {_numbers(lacking)}")
    return tuple(phrases)


def _former(row: Mapping[str, Any]) -> list[str]:
    if plan_of(row).measure != "mode":
        return []
    modes = domain_of(row["task"]).modes
    return [
        f"these are scores of version 0, by {modes['mode']}: version 1 scores {modes['stochastic']} (docs/scores.md)"
    ]


def _left_out(paths: Sequence[str], suite: str | None) -> list[str]:
    n = len(paths)
    return [f"{n} run{'s are' if n > 1 else ' is'} not in {suite}, and left out"] if paths else []


def _statuses(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = []
    for status in ("unfinished", "failed"):
        if paths := sorted(row["path"] for row in rows if row["status"] == status):
            is_ = "run is" if len(paths) == 1 else "runs are"
            verb = {"unfinished": f"{is_} unfinished", "failed": f"{'run' if len(paths) == 1 else 'runs'} failed"}[
                status
            ]
            notes.append(f"{len(paths)} {verb}, and not scored: {_listed(paths)}")
    return notes


def _versions(split: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    notes = []
    for label, rows in split.items():
        # Older runs do not record the source of an installed algorithm.
        sources = Counter(source for row in rows if (source := row["algorithm_source"]) is not None)
        if len(sources) > 1:
            found = _named((f"{n} with {short_source(source)}", source) for source, n in sources.items())
            notes.append(f"the source of {label} changed between its runs ({found})")
    everything = [row for rows in split.values() for row in rows]
    versions = {version for row in everything for version in row["lagbench"]}
    if len(versions) > 1:
        notes.append(f"the runs were made with several versions of lagbench: {', '.join(sorted(versions))}")
    if unknown_ := sum(_finished(row) and not row["lagbench"] for row in everything):
        notes.append(f"{unknown_} of the runs have no environment.json, so their versions are unknown")
    return notes


def _gaps(entries: Sequence[Entry], promised: int) -> list[str]:
    return [
        f"{entry.label} has {sum(map(len, entry.runs.values()))} of {promised} runs; missing: "
        f"{_listed(entry.missing, '; ')}"
        for entry in entries
        if entry.missing
    ]


def _few(entries: Sequence[Entry], axis: Axis) -> list[str]:
    fewest = {entry.label: min(map(len, entry.runs.values()), default=0) for entry in entries}
    few = [f"{label} ({n})" for label, n in fewest.items() if 0 < n < FEW_SEEDS]
    return (
        [f"fewer than {FEW_SEEDS} seeds in some cells, so intervals are not informative: {_listed(few)}"] if few else []
    )


def _named(texts: Iterable[tuple[str, str]]) -> str:
    """Texts in the order of their keys."""
    return ", ".join(text for text, _ in sorted(texts, key=lambda item: item[1]))


def _numbers(values: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(values)))


def _listed(items: Sequence[str], separator: str = ", ") -> str:
    more = [f"and {len(items) - _LISTED} more"] if len(items) > _LISTED else []
    return separator.join([*items[:_LISTED], *more])
