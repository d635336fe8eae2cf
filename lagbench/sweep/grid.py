"""The grid of a sweep: the product of option axes, with a directory per cell."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from lagbench import suites
from lagbench.errors import UsageError
from lagbench.records.files import SPEC_FILE
from lagbench.sinks import description
from lagbench.spec import RunSpec
from lagbench.sweep.cells import Planned

# The task option whose default is today's date: all cells of a sweep share one, also after a restart.
_DATE = "date"


def plan(
    out: Path,
    *,
    algo: str | type[Any] | Sequence[str | type[Any]],
    suite: str | None = None,
    task: str | Sequence[str] = (),
    lag: int | Sequence[int] = (),
    updates: int | Sequence[int] = (),
    seeds: int | Sequence[int] = (),
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[Planned]:
    """Every cell of a grid, ordered by seed, so that an interrupted sweep covers all settings.

    Args:
        out: the directory of the sweep; a cell's is ``<task>/<algorithm>/[<config>/]lag<L>-u<U>-seed<S>`` in it.
        algo: algorithms, by name, as ``path/to/file.py:Class`` or as classes.
        suite: a suite; axes that are not given are then the suite's, else the default of ``lagbench.resolve``.
        task: tasks.
        lag: values of maximum staleness.
        updates: values of updates per phase.
        seeds: seeds.
        config: hyperparameters; each list of values is an axis.
        options: other options of ``lagbench.resolve``, the same for all cells.

    Returns:
        Cells, each with ``spec`` and ``path``.

    Raises:
        UsageError: a cell is not valid, or two would share a directory.
    """
    given = {"algo": algo, "task": task, "lag": lag, "updates": updates, "seed": seeds}
    axes = {name: _values(x) for name, x in given.items()}
    if suite is not None:
        whole = suites.load(suite)
        defaults = {"task": whole.tasks, whole.axis: whole.values, "seed": whole.seeds}
        axes |= {name: values for name, values in defaults.items() if not axes[name]}
        options["suite"] = suite
    if not axes["algo"]:
        raise UsageError("a sweep needs an algorithm: give --algo, such as --algo ppo,vaco")
    cells: dict[Path, Planned] = {}
    days: dict[str, str] = {}
    for point in _product(axes, {name: _values(x) for name, x in (config or {}).items()}):
        chosen = {**options, **point}
        spec = suites.resolve(**chosen)
        if suite is None and (today := spec.task_options.get(_DATE)):
            own = chosen.get("task_options", {})
            day = days.setdefault(spec.task, own.get(_DATE) or _day_of(out / spec.task) or today)
            chosen["task_options"] = {**own, _DATE: day}
            spec = suites.resolve(**chosen)
        cell = Planned(spec, out / _directory(spec, chosen.get("config", {})), MappingProxyType(chosen))
        before = cells.setdefault(cell.path, cell)
        if before.spec != spec:
            first, second = (s.algorithm.name if before.spec.task == spec.task else s.task for s in (before.spec, spec))
            raise UsageError(
                f"{first} and {second} would share the directory {cell.path}; rename one of them, or sweep them into "
                f"separate directories"
            )
    return list(cells.values())


def _day_of(directory: Path) -> str | None:
    """The date of a run below a directory; None if no run has one."""
    for file in sorted(directory.rglob(SPEC_FILE)):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads(file.read_bytes())["task_options"][_DATE])
    return None


def _values(given: Any) -> Sequence[Any]:
    """The values of an axis; a single value becomes a list."""
    return given if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def _product(axes: Mapping[str, Sequence[Any]], config: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    order = [name for name in ("seed", "task", "algo", "lag", "updates") if axes[name]]
    settings = [dict(zip(config, values, strict=True)) for values in itertools.product(*config.values())]
    for *values, setting in itertools.product(*(axes[name] for name in order), settings):
        yield {**dict(zip(order, values, strict=True)), **({"config": setting} if setting else {})}


def _directory(spec: RunSpec, config: Iterable[str]) -> Path:
    """A cell's directory relative to its sweep. It names what was set, so that axes can be extended later."""
    # Values are spelt as in the spec: 0.1 and .10 are the same cell.
    chosen = description.assignments({name: spec.config[name] for name in sorted(config)})
    settings = ",".join(quote(text, safe="=+") for text in chosen)
    task, algorithm = (name.rpartition(":")[2] for name in (spec.task, spec.algorithm.name))
    return Path(task, algorithm, settings, spec.cell_name)
