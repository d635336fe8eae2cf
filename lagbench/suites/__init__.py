"""Suites: frozen grids of cells, as data. A suite never changes; a changed suite gets another name."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.resources
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any, Literal

from lagbench import registry, spec
from lagbench.config import parsed
from lagbench.domain import Domain
from lagbench.errors import UsageError, unknown
from lagbench.protocol import Protocol, units
from lagbench.seeding import DRAWN
from lagbench.spec import EvaluationPlan, RunSpec, SuiteVersion, differences
from lagbench.tasks.spec import TaskSpec, domain_of, load_task

Axis = Literal["lag", "updates"]
_ROOT = importlib.resources.files(__package__)
_RETIRED, _COMMON = "retired", "common"


@dataclass(frozen=True)
class Cell:
    """One entry of the grid: a task under a protocol with a seed."""

    task: str
    protocol: Protocol
    seed: int


@dataclass(frozen=True)
class Suite:
    """A grid of cells: every task × every value of its axis × every seed.

    Attributes:
        name: its id, and the name of its file.
        about: its purpose, in a sentence. This and the fields after ``data`` are not hashed.
        data: its definition, which is hashed; in its protocol, the axis (lag or updates) is a list.
        family: the name of its runs. Suites of a family differ only in their grids, and share runs.
        references: the suite or family whose references it uses, if not its own.
        replaced_by: its replacement, if it is retired: its runs can be scored, but no new ones made.
        duration: estimated duration of its runs by device, and the basis, if the cost of its tasks was not measured.
    """

    name: str
    about: str
    data: Mapping[str, Any]
    family: str | None = None
    references: str | None = None
    replaced_by: str | None = None
    duration: str | None = None

    @cached_property
    def sha256(self) -> str:
        """The hash of the suite's definition."""
        return _sha256(self.data)

    @property
    def version(self) -> SuiteVersion:
        """The name and hash of the suite itself."""
        return SuiteVersion(self.name, self.sha256)

    @cached_property
    def runs(self) -> SuiteVersion:
        """The name and hash in the specs of its runs: its own, or those of its family.

        A family's hash covers what its suites have in common: everything but the grid.
        """
        if self.family is None:
            return self.version
        protocol = {name: x for name, x in self.data["protocol"].items() if name != self.axis}
        shared = {name: x for name, x in self.data.items() if name not in ("tasks", "seeds")}
        return SuiteVersion(self.family, _sha256({**shared, "protocol": protocol}))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The ids of its tasks."""
        return tuple(self.data["tasks"])

    @property
    def domain(self) -> Domain:
        """The domain of its tasks."""
        return domain_of(self.tasks[0])

    @property
    def axis(self) -> Axis:
        """The varied quantity: backward lag, or the updates per phase."""
        return "updates" if isinstance(self.data["protocol"]["updates"], list) else "lag"

    @property
    def values(self) -> tuple[int, ...]:
        """The values of its axis, in increasing order."""
        return tuple(self.data["protocol"][self.axis])

    @property
    def seeds(self) -> range:
        """The seeds of its runs, starting at 0."""
        return range(self.data["seeds"])

    def admits(self, seed: int) -> bool:
        """Whether a run with this seed counts as one of its cells: the suite's seeds, and drawn ones."""
        return seed in self.seeds or seed >= DRAWN

    @property
    def budget(self) -> int:
        """The budget of each run, in the unit of its domain."""
        return int(self.data["budget"])

    @property
    def evaluation(self) -> EvaluationPlan:
        """The evaluation plan."""
        return EvaluationPlan(**self.data["evaluation"])

    def protocol(self, value: int) -> Protocol:
        """The protocol at one value of the axis."""
        fixed = self.data["protocol"]
        # Without fixed actors, their number depends on the samples and on the task's group size.
        group = 1 if "actors" in fixed else self.task(self.tasks[0]).group
        return Protocol.resolve(**{"phase_steps": None, "group": group, **fixed, self.axis: value})

    def cells(self) -> Iterator[Cell]:
        """Every cell, task by task."""
        for task in self.tasks:
            for value in self.values:
                for seed in self.seeds:
                    yield Cell(task, self.protocol(value), seed)

    def cell_of(self, run: Mapping[str, Any]) -> tuple[str, int, int]:
        """The position of a run in the grid: task, value of the axis, and seed. ``run`` maps names to values."""
        return run["task"], run[self.axis], run["seed"]

    def has(self, run: Mapping[str, Any]) -> bool:
        """Whether a run is in the grid, with a seed that the suite admits. ``run`` as for ``cell_of``."""
        task, value, seed = self.cell_of(run)
        return task in self.tasks and value in self.values and self.admits(seed)

    def options(self, value: int) -> dict[str, Any]:
        """The settings fixed by the suite at one value of its axis, as options of ``lagbench.resolve``."""
        return {
            **self.data["protocol"],
            self.axis: value,
            "budget": self.budget,
            "eval_episodes": self.evaluation.episodes,
            "eval_mode_episodes": self.evaluation.mode_episodes,
            "eval_intervals": self.evaluation.intervals,
            "task_options": self.data.get("task_options", {}),
        }

    @parsed(spec.resolve)
    def resolve(
        self, *, algo: str | type[Any] = "ppo", task: str | None = None, seed: int = 0, **options: Any
    ) -> RunSpec:
        """The spec of one cell. ``options`` are those of ``lagbench.resolve``; the suite supplies what it fixes.

        Raises UsageError if the cell is not in the suite, an option contradicts the suite, or the suite is retired.
        """
        if self.replaced_by is not None:
            raise UsageError(f"{self.name} is retired; run {self.replaced_by}, which replaces it (docs/suites.md)")
        task, value = self.place(task, options.pop(self.axis, None))
        if seed not in self.seeds:
            raise UsageError(f"{self.name} has the seeds {self.seeds[0]}-{self.seeds[-1]}, not {seed}")
        fixed = self.options(value)
        for name, given in options.items():
            if name == "task_options":
                self._check_task_options(task, given)
            elif name in fixed and (units(given) != units(fixed[name]) if name == "hidden" else given != fixed[name]):
                own = "; an algorithm makes fewer with --set updates=N" if name == "updates" else ""
                raise UsageError(f"{name} is {fixed[name]} in {self.name} and cannot be {given}{own}")
        run = spec.resolve(algo=algo, task=task, seed=seed, suite=self.runs, **{**options, **fixed})
        # Options cannot express an evaluation plan of version 0.
        run = dataclasses.replace(run, evaluation=self.evaluation)
        self.check(run)
        return run

    def place(self, task: str | None, value: int | None) -> tuple[str, int]:
        """Validate a task and a value of the axis; None means the only one. Raises UsageError if not in the suite."""
        return self._one_of("task", task, self.tasks), self._one_of(self.axis, value, self.values)

    def task(self, task: str) -> TaskSpec:
        """The spec of one of its tasks, with the options that the suite fixes."""
        return load_task(task, self.data.get("task_options"))

    def task_options(self, task: str) -> dict[str, Any]:
        """The options of one of its tasks that differ from the task's defaults, without loading it."""
        return {**registry.task_entry(task).options, **self.data.get("task_options", {})}

    def planned(self, task: str, value: int, seed: int) -> dict[str, Any]:
        """The part of a cell's spec, as JSON, that is the same for every algorithm and machine."""
        return {
            "task": task,
            "task_options": self.task_options(task),
            "protocol": self.protocol(value).to_json(),
            "budget": self.budget,
            "evaluation": dict(self.data["evaluation"]),
            "seed": seed,
            "suite": dataclasses.asdict(self.runs),
        }

    def pins(self, task: str) -> frozenset[str]:
        """The task options that a run pins to external data, and that the suite does not fix."""
        return frozenset(self.task(task).pins) - frozenset(self.data.get("task_options", {}))

    def check(self, run: RunSpec) -> None:
        """Raise UsageError unless a spec is one of the suite's cells."""
        if run.suite != self.runs:
            own = f"{self.runs.name} ({self.runs.sha256[:12]}…)"
            raise UsageError(f"the specification is not of {own}, but of {run.suite}")
        self._one_of("task", run.task, self.tasks)
        value = self._one_of(self.axis, getattr(run.protocol, self.axis), self.values)
        if not self.admits(run.seed):
            raise UsageError(f"{self.name} has the seeds {self.seeds[0]}-{self.seeds[-1]}, not {run.seed}")
        planned, found = self.planned(run.task, value, run.seed), run.to_json()
        pins = self.pins(run.task)
        found["task_options"] = {name: x for name, x in found["task_options"].items() if name not in pins}
        if changed := differences({name: found[name] for name in planned}, planned):
            raise UsageError(f"the specification is not in {self.name}: {'; '.join(changed)} in the suite")

    def _check_task_options(self, task: str, given: Mapping[str, Any]) -> None:
        fixed = self.task(task).options
        for name, value in load_task(task, given).options.items():
            if name not in fixed:
                raise UsageError(f"the task option {name} has its default in {self.name} and cannot be {value}")
            if value != fixed[name]:
                raise UsageError(f"the task option {name} is {fixed[name]} in {self.name} and cannot be {value}")

    def _one_of(self, name: str, given: Any, known: tuple[Any, ...]) -> Any:
        if given is None and len(known) == 1:
            return known[0]
        listing = ", ".join(map(str, known))
        if given is None:
            raise UsageError(f"{self.name} is a grid; choose a cell's {name} (--{name}): {listing}")
        given = given.removeprefix("lagbench/") if isinstance(given, str) else given
        if given not in known:
            raise UsageError(f"{self.name} has no {name} {given}; choose one of: {listing}")
        return given


def names() -> list[str]:
    """The names of all suites that can be run.

    Returns:
        Sorted names.
    """
    return _stems(_ROOT)


def retired() -> list[str]:
    """The names of all retired suites, sorted."""
    return _stems(_ROOT.joinpath(_RETIRED))


def load(name: str) -> Suite:
    """The suite of that name, retired ones included.

    Args:
        name: one of ``suite_names()``.

    Returns:
        The suite.

    Raises:
        UsageError: there is no such suite; the message suggests the nearest name.
    """
    if name in names():
        return _load(name, _ROOT)
    if name in retired():
        return _load(name, _ROOT.joinpath(_RETIRED))
    if own := [suite.name for suite in of_runs(name)]:
        raise UsageError(f"{name} is a family of suites; choose one of: {', '.join(own)}")
    raise unknown("suite", name, names())


def of_runs(name: str) -> list[Suite]:
    """The suites whose runs have this name in their specs, smallest first: one, or those of a family."""
    everything = [load(own) for own in (*names(), *retired())]
    found = [suite for suite in everything if suite.runs.name == name]
    return sorted(found, key=lambda suite: len(list(suite.cells())))


@parsed(spec.resolve)
def resolve(*, suite: str | None = None, **options: Any) -> RunSpec:
    """A run's specification from options, or with ``suite`` from one of its cells.

    Args:
        suite: suite of the cell. It fixes everything except ``algo``, ``task``, its axis, ``seed``, ``config``,
            ``record``, ``device``.
        options: ``algo`` (``"ppo"``), ``task`` (``"Hopper-v5"``), ``lag`` (0), ``lag_mode`` (``"uniform"``),
            ``lag_options``, ``updates`` (10 epochs), ``updates_fixed`` (False), ``forward`` (``"reuse"``),
            ``minibatch``, ``actors``, ``phase_steps``, ``hidden`` ((64, 64)), ``policy``, ``budget``, ``seed`` (0),
            ``config``, ``task_options``, ``eval_episodes``, ``eval_mode_episodes``, ``eval_intervals`` (10), ``record``
            (``"trajectories"``), ``device`` (``"cpu"``), ``torch_threads`` (1): those of ``lagbench run --help``, in
            the same units, also as strings (``budget="300k"``). ``algo`` may be a class.

    Returns:
        The complete specification, for ``train`` and ``run``.

    Raises:
        UsageError: a name or an option is not valid.
    """
    return spec.resolve(**options) if suite is None else load(suite).resolve(**options)


def check(run: RunSpec) -> None:
    """Raise UsageError if a spec names an unknown suite or family, or one of which it is not a cell."""
    if run.suite is None:
        return
    *smaller, largest = of_runs(run.suite.name) or [load(run.suite.name)]
    for suite in smaller:
        with contextlib.suppress(UsageError):
            suite.check(run)
            return
    largest.check(run)


def _stems(directory: Traversable) -> list[str]:
    files = (file.name for file in directory.iterdir())
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def _load(name: str, directory: Traversable) -> Suite:
    data = _read(directory, name)
    about = {field: data.pop(field, None) for field in ("about", "family", "references", "replaced_by", "duration")}
    if common := data.pop("common", None):
        base = _read(_ROOT.joinpath(_COMMON), common)
        data = {**base, **data} | {part: {**base[part], **data.get(part, {})} for part in base}
    protocol = data["protocol"]
    if (epochs := protocol.pop("epochs", None)) is not None:
        updates = protocol["actors"] * protocol["phase_steps"] // protocol["minibatch"]
        protocol["updates"] = [n * updates for n in epochs] if isinstance(epochs, list) else epochs * updates
    return Suite(name, data=MappingProxyType(data), **about)


def _read(directory: Traversable, name: str) -> dict[str, Any]:
    return tomllib.loads(directory.joinpath(f"{name}.toml").read_text("utf-8"))


def _sha256(data: Mapping[str, Any]) -> str:
    """The SHA-256 of data as canonical JSON."""
    text = json.dumps(dict(data), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
