"""RunSpec: everything that determines a run's rows, and nothing else."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from lagbench.config import INT64, Count, Range, check_fields, coerce, make_config, parsed
from lagbench.domain import ActionMode, Domain, admits
from lagbench.errors import UsageError, unknown
from lagbench.lag import staleness, traces
from lagbench.machine import cores
from lagbench.protocol import DEFAULT_HIDDEN, ForwardMode, Protocol
from lagbench.source import algorithms, functions, known
from lagbench.source.algorithms import AlgorithmSource, InstalledAlgorithm
from lagbench.source.files import ALGORITHM, POLICY, TASK, TRACE, Source
from lagbench.source.functions import FunctionSource
from lagbench.tasks.spec import SOURCE, TaskSpec, domain_of, load_task, pinned_source, repeats, source_of

if TYPE_CHECKING:
    import torch

# By how they identify the algorithm. Specs that format 1 can express use it, as do all published tables.
FORMATS: Mapping[int, type[InstalledAlgorithm | AlgorithmSource]] = {1: AlgorithmSource, 2: InstalledAlgorithm}
Recording = Literal["trajectories", "episodes"]
Execution = Literal["loop", "asynchronous"]
ASYNCHRONOUS = "asynchronous"
"""The lag mode of asynchronous runs."""


@dataclass(frozen=True)
class SuiteVersion:
    """A suite by its name and the SHA-256 of its definition."""

    name: str
    sha256: str


Intervals = Annotated[int, Range(ge=1, le=10_000)]


@dataclass(frozen=True)
class EvaluationPlan:
    """The evaluations at the fractions 0, 1/intervals, …, 1 of the budget.

    Attributes:
        episodes: number of scored episodes, with sampled actions.
        intervals: number of intervals of the budget.
        mode_episodes: further episodes with the policy's mode. None in a plan of version 0, which scores the mode and
            has as many sampled episodes in its last evaluation only.
    """

    episodes: Count
    intervals: Intervals
    mode_episodes: Count | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def measure(self) -> ActionMode:
        """How actions are chosen in the episodes that are scored."""
        return "mode" if self.mode_episodes is None else "stochastic"

    @property
    def fractions(self) -> tuple[float, ...]:
        """The fractions of the budget at which the policy is evaluated."""
        return tuple(i / self.intervals for i in range(self.intervals + 1))

    def modes(self, *, last: bool) -> dict[ActionMode, int]:
        """Episodes per action mode, in the order of the records; ``last``: in the evaluation after the last phase."""
        if self.mode_episodes is not None:
            return {"stochastic": self.episodes, "mode": self.mode_episodes}
        return {"mode": self.episodes, **({"stochastic": self.episodes} if last else {})}

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary; ``EvaluationPlan(**it)`` is equal to this."""
        return {name: x for name, x in dataclasses.asdict(self).items() if x is not None}


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """The specification of a run: equal specs give equal rows on the same kind of machine.

    Attributes:
        task: the task's id, or ``path/to/file.py:function``.
        task_options: options that differ from the task's defaults, and digests of its source, data or model.
        algorithm: name, and the SHA-256 of its source or its distribution and version.
        config: every hyperparameter.
        protocol: lag and updates.
        budget: actor steps on control, completions on language.
        evaluation: the evaluation plan.
        seed: the seed of every random stream.
        suite: name and hash of the suite or family to which the cell belongs; None outside suites.
        record: ``trajectories`` records every transition, ``episodes`` summaries only.
        device: torch device of the learner.
        torch_threads: torch's threads on the CPU.
        policy: the user's function that creates the network; None for the benchmark's own.
    """

    task: str
    task_options: Mapping[str, Any]
    algorithm: InstalledAlgorithm | AlgorithmSource
    config: Mapping[str, Any]
    protocol: Protocol
    budget: Annotated[int, Range(le=INT64)]
    evaluation: EvaluationPlan
    seed: Annotated[int, Range(ge=0, le=INT64)]
    suite: SuiteVersion | None
    record: Recording
    device: str
    torch_threads: Count
    policy: FunctionSource | None = None

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def domain(self) -> Domain:
        """Control or language."""
        return domain_of(self.task)

    @property
    def suite_name(self) -> str | None:
        """The name of its suite; None outside suites."""
        return None if self.suite is None else self.suite.name

    @property
    def is_asynchronous(self) -> bool:
        """Whether its actors and its learner run asynchronously."""
        return self.protocol.lag_mode == ASYNCHRONOUS

    @property
    def cell_name(self) -> str:
        """The name of its directory among runs of one algorithm on one task: ``lag8-u320-seed3``."""
        return f"lag{self.protocol.lag}-u{self.protocol.updates}-seed{self.seed}"

    @property
    def phases(self) -> int:
        """Number of whole phases in the budget; an upper bound if not ``steady``."""
        return self.budget // self.protocol.samples

    @property
    def steady(self) -> bool:
        """Whether each phase uses exactly the protocol's samples of the budget; otherwise it may use more."""
        option = self.domain.resampling
        return option is None or not self.task_options.get(option, False)

    @property
    def repeats(self) -> bool:
        """Whether its task's episodes are reproducible from seeds and actions; tried if that is not known."""
        return repeats(self.task, self.task_options)

    def over(self, used: int) -> bool:
        """Whether no further phase fits into the budget after ``used`` of it."""
        return used > (self.phases - 1) * self.protocol.samples

    def evaluations(self, used: Iterable[int]) -> dict[int, list[float]]:
        """Completed phases → the fractions of the budget that they are the first to reach.

        ``used``: the budget used after 0, 1, 2, … phases. The last phase reaches all remaining fractions.
        """
        due: dict[int, list[float]] = {}
        intervals, paid, done = self.evaluation.intervals, self.phases * self.protocol.samples, 0
        for phases, spent in enumerate(used):
            reached = intervals + 1 if self.over(spent) else spent * intervals // paid + 1
            if reached > done:
                due[phases] = list(self.evaluation.fractions[done:reached])
            done = reached
        return due

    def evaluation_phases(self) -> dict[int, list[float]]:
        """``evaluations`` if each phase uses exactly the protocol's samples."""
        return self.evaluations(phases * self.protocol.samples for phases in range(self.phases + 1))

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if self.policy is None:  # older specifications lack it
            del plain["policy"]
        else:
            plain["policy"] = dataclasses.asdict(self.policy)
        (version,) = (version for version, kind in FORMATS.items() if isinstance(self.algorithm, kind))
        return {
            "format_version": version,
            **plain,
            "task_options": dict(self.task_options),
            "algorithm": dataclasses.asdict(self.algorithm),
            "config": dict(self.config),
            "protocol": self.protocol.to_json(),
            "evaluation": self.evaluation.to_json(),
            "suite": None if self.suite is None else dataclasses.asdict(self.suite),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of ``to_json``. Raises UsageError if ``data`` is not a spec or has a newer format."""
        if not isinstance(data, Mapping) or "format_version" not in data:
            raise UsageError("this is not a run specification: format_version is missing")
        version = data["format_version"]
        if version not in (*FORMATS,):
            raise UsageError(
                f"the specification has format {version!r}; this lagbench reads up to {max(FORMATS)}: "
                "install a newer one (pip install -U lagbench)"
            )
        fields = {f.name for f in dataclasses.fields(cls)}
        rest = {k: v for k, v in data.items() if k != "format_version"}
        for name in rest:
            if name not in fields:
                raise unknown("field in the specification", name, fields)
        try:
            spec = cls(
                **{
                    **rest,
                    "task_options": MappingProxyType({**rest["task_options"]}),
                    "algorithm": FORMATS[version](**rest["algorithm"]),
                    "config": MappingProxyType({**rest["config"]}),
                    "protocol": Protocol(**rest["protocol"]),
                    "evaluation": EvaluationPlan(**rest["evaluation"]),
                    "suite": None if rest["suite"] is None else SuiteVersion(**rest["suite"]),
                    "policy": None if rest.get("policy") is None else FunctionSource(**rest["policy"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise UsageError(f"the specification is not complete: {error}") from error
        for part in (spec.algorithm, spec.suite, spec.policy):
            if part is not None:
                check_fields(part)
        # Not built with ``resolve``, which fills in missing fields; called to validate.
        Protocol.resolve(**spec.protocol.to_json())
        spec._check()
        return spec

    def _check(self) -> None:
        if self.phases < 1:
            protocol = self.protocol
            raise UsageError(
                f"a budget of {self.budget} {self.domain.budget_unit} is less than one phase, which needs "
                f"{protocol.samples} ({protocol.actors} actors × {protocol.phase_steps} {self.domain.step_unit}); give "
                f"at least --budget {protocol.samples}"
            )
        coerce("the phases of a run", Count, self.phases)
        if self.policy is not None and self.suite is not None:
            raise UsageError(
                f"{self.suite_name} measures lagbench's own networks, so a run with {self.policy.name} is not one of "
                "its cells; leave out --policy or --suite"
            )
        if self.policy is not None and self.protocol.hidden != DEFAULT_HIDDEN:
            name = self.policy.name
            raise UsageError(f"--hidden is for lagbench's own networks, and {name} creates another; leave it out")
        if staleness.mode(self.protocol, self.seed).in_flight and not self.domain.in_flight:
            raise UsageError(
                f"the lag mode {self.protocol.lag_mode} changes versions inside an episode, which {self.domain.name} "
                "does not support; give --lag-set inflight=false, or another mode"
            )
        if self.is_asynchronous and not self.steady:
            raise UsageError(
                f"{self.domain.resampling} looks at all samples of a phase together, which asynchronous actors never "
                "have; leave out --asynchronous, or the option"
            )
        if self.is_asynchronous and self.suite is not None:
            raise UsageError(
                f"the lag of an asynchronous run cannot be set, so it is not a cell of {self.suite_name}; leave "
                f"--suite out"
            )

    @classmethod
    def load(cls, path: Path) -> Self:
        """A spec from a JSON file; in a run's directory, with the copied sources in it. Raises UsageError."""
        try:
            spec = cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise UsageError(f"there is no file {str(path)!r}") from None
        except OSError as error:
            raise UsageError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{str(path)!r} is not JSON: {error}") from error
        spec.note_copies(path.parent)
        return spec

    def note_copies(self, run: Path) -> None:
        """Also look for sources in the copies that a run's directory contains."""
        if isinstance(self.algorithm, AlgorithmSource):
            known.note_copy(self.algorithm.sha256, run / ALGORITHM)
        if SOURCE in self.task_options:
            known.note_copy(str(self.task_options[SOURCE]), run / TASK)
        if self.policy is not None:
            known.note_copy(self.policy.sha256, run / POLICY)
        if self._trace is not None:
            known.note_copy(self._trace, run / TRACE)

    def load_task(self) -> TaskSpec:
        """The task with its options. Raises UsageError if its source is not found."""
        return load_task(self.task, self.task_options)

    def sources(self) -> dict[str, Source]:
        """The sources to copy into a run, by subdirectory. Raises UsageError if one is not found."""
        found = {
            ALGORITHM: algorithms.source_of(self.algorithm),
            TASK: source_of(self.task, self.task_options),
            POLICY: None if self.policy is None else self.policy.source,
            TRACE: None if self._trace is None else traces.source(self._trace),
        }
        return {name: source for name, source in found.items() if source is not None}

    @property
    def _trace(self) -> str | None:
        """The SHA-256 of the trace that it replays; None without one."""
        return self.protocol.lag_options.get("trace_sha256") if self.protocol.lag_mode == "trace" else None

    def load_algorithm(self) -> type[Any]:
        """The algorithm's class. Raises UsageError if its source or Config differs from the spec's."""
        algorithm: type[Any] = algorithms.load(self.algorithm)
        resolved = dataclasses.asdict(make_config(algorithm.Config, {}, self.config))
        if missing := resolved.keys() - self.config.keys():
            raise UsageError(f"the specification is not complete: its config lacks {', '.join(sorted(missing))}")
        return algorithm

    def network(self, generator: torch.Generator | None = None) -> Any:
        """The initial policy, with weights drawn from ``generator``; without one, see ``TaskSpec.network``."""
        build = None if self.policy is None else self.policy.load()
        return load_task(self.task, self.task_options).network(self.protocol.hidden, generator, build)

    def renewed(self) -> Self:
        """The spec with the installed version of the algorithm's distribution. Raises UsageError if not installed."""
        return dataclasses.replace(self, algorithm=algorithms.renewed(self.algorithm))


def differences(now: Any, before: Any) -> list[str]:
    """The differences between two specifications as JSON, one phrase per field: ``seed is 1, was 0``."""
    ours, theirs = _leaves(now), _leaves(before)
    return [
        f"{name} is {ours.get(name, 'missing')}, was {theirs.get(name, 'missing')}"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def _leaves(data: Any, name: str = "") -> dict[str, str]:
    """Dotted name → JSON of every leaf of a document."""
    if not isinstance(data, dict) or not data:
        # As JSON: tuples become lists.
        return {name: json.dumps(data)}
    return {k: v for key, inner in data.items() for k, v in _leaves(inner, f"{name}.{key}" if name else key).items()}


@parsed()
def resolve(
    *,
    algo: str | type[Any] = "ppo",
    task: str = "Hopper-v5",
    lag: int = 0,
    lag_mode: str = "uniform",
    lag_options: Mapping[str, Any] | None = None,
    execution: Execution = "loop",
    actor_processes: int | None = None,
    queue: int | None = None,
    updates: int | None = None,
    updates_fixed: bool = False,
    forward: ForwardMode | None = None,
    minibatch: int | None = None,
    actors: int | None = None,
    phase_steps: int | None = None,
    hidden: Sequence[int] = DEFAULT_HIDDEN,
    policy: str | None = None,
    budget: int | None = None,
    seed: int = 0,
    config: Mapping[str, Any] | None = None,
    task_options: Mapping[str, Any] | None = None,
    eval_episodes: Count | None = None,
    eval_mode_episodes: Count | None = None,
    eval_intervals: Intervals = 10,
    suite: SuiteVersion | None = None,
    record: Recording = "trajectories",
    device: str = "cpu",
    torch_threads: int = 1,
) -> RunSpec:
    """Create a RunSpec from options and defaults; used by the command line, Python and sweeps.

    Numbers may be strings, as on the command line: ``budget="300k"``. None stands for the domain's default.

    Args:
        algo: a name, ``path/to/file.py:Class``, or a subclass of ``Algorithm``.
        task: an id, or ``path/to/file.py:function``.
        lag: maximum staleness L, in policy versions.
        lag_mode: ``uniform``, ``fixed``, ``trace:RUN``, ``queue``, or an installed one; see docs/lag.md.
        lag_options: options of the lag mode by name.
        execution: ``loop``: actors and learner alternate; ``asynchronous``: they run concurrently, and lag is measured.
        actor_processes: number of actor processes of an asynchronous run, a divisor of the actors; by default one per
            remaining core.
        queue: capacity of its queue in batches, by default 1.
        updates: U, optimizer updates per phase.
        updates_fixed: whether the algorithm's own number of updates is ignored.
        forward: ``reuse`` or ``split``.
        minibatch: samples per minibatch.
        actors: number of actors.
        phase_steps: steps per actor and phase.
        hidden: units of each hidden layer (control).
        policy: a function that creates your own network, ``path/to/file.py:function``; see docs/networks.md.
        budget: actor steps, or completions.
        seed: the seed of every random stream.
        config: hyperparameters by name; others have the algorithm's defaults for this domain.
        task_options: options of the task by name.
        eval_episodes: scored episodes per evaluation, with sampled actions.
        eval_mode_episodes: further episodes per evaluation with the mean action, or greedy answers.
        eval_intervals: n; evaluations are at 0, 1/n, …, 1 of the budget.
        suite: the suite or family to which the run belongs.
        record: ``trajectories`` or ``episodes``.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        torch_threads: torch's threads on the CPU.

    Returns:
        The complete specification.

    Raises:
        UsageError: an option is not valid.
    """
    task_spec = load_task(task, dict(task_options or {})).pinned()
    domain = task_spec.domain
    if isinstance(algo, type):
        _check_class(algo, algo.__name__)
    algorithm = algorithms.identify(algo)
    cls = algorithms.load(algorithm)
    _check_class(cls, algorithm.name)
    if not admits(cls.domains, domain.name):
        raise UsageError(
            f"{algorithm.name} is for {' and '.join(cls.domains)} only, but {task_spec.task_id} is a {domain.name} "
            f"task; choose another task, or another algorithm, see `lagbench list algorithms`"
        )
    forward = forward or domain.forward
    shaped = functools.partial(
        Protocol.resolve,
        updates=updates,
        updates_fixed=updates_fixed,
        forward=forward,
        minibatch=domain.minibatch if minibatch is None else minibatch,
        actors=domain.actors if actors is None else actors,
        phase_steps=domain.phase_steps if phase_steps is None and forward == "reuse" else phase_steps,
        hidden=hidden,
        group=task_spec.group,
    )
    if execution == ASYNCHRONOUS:
        lag_mode, lag_options = _apart(lag_mode, shaped().actors, actor_processes, queue)
    elif actor_processes is not None or queue is not None:
        name = "queue" if actor_processes is None else "actor_processes"
        raise UsageError(f"{name} is an option of asynchronous runs; add --asynchronous, or leave it out")
    protocol = shaped(lag=lag, lag_mode=lag_mode, lag_options=lag_options)
    episodes = domain.evaluation_episodes if eval_episodes is None else eval_episodes
    mode_episodes = min(domain.mode_episodes, episodes) if eval_mode_episodes is None else eval_mode_episodes
    check_device(device)
    spec = RunSpec(
        task=task_spec.task_id,
        task_options=MappingProxyType({**task_spec.options, **pinned_source(task)}),
        algorithm=algorithm,
        config=MappingProxyType(dataclasses.asdict(make_config(cls.Config, cls.preset(domain.name), config or {}))),
        protocol=protocol,
        budget=domain.budget if budget is None else budget,
        evaluation=EvaluationPlan(episodes, eval_intervals, mode_episodes),
        seed=seed,
        suite=suite,
        record=record,
        device=device,
        torch_threads=torch_threads,
        policy=None if policy is None else functions.identify(policy),
    )
    spec._check()
    if spec.policy is not None:
        spec.network()  # raises now if it is not valid
    spec = dataclasses.replace(spec, protocol=staleness.settled(protocol, seed, spec.phases))
    task_spec.check(protocol, max(episodes, mode_episodes))
    return spec


def _apart(lag_mode: str, actors: int, processes: int | None, queue: int | None) -> tuple[str, dict[str, Any]]:
    """The lag mode of an asynchronous run with its options; by default one actor process per remaining core."""
    if lag_mode not in ("uniform", ASYNCHRONOUS):
        raise UsageError(f"the lag of an asynchronous run cannot be set; leave --lag-mode {lag_mode} out")
    if processes is None:
        processes = next(n for n in range(max(1, min(cores() - 1, actors)), 0, -1) if actors % n == 0)
    return ASYNCHRONOUS, {"actor_processes": processes, "queue": 1 if queue is None else queue}


def _check_class(cls: Any, name: str) -> None:
    from lagbench.algorithm import Algorithm

    if not (isinstance(cls, type) and issubclass(cls, Algorithm)):
        raise UsageError(f"{name} is not an algorithm: its class must be a subclass of lagbench.Algorithm")
    if not issubclass(cls.Config, Algorithm.Config):
        raise UsageError(f"{name} cannot be configured: its Config must be a subclass of Algorithm.Config")
    if cls.loss is Algorithm.loss:
        raise UsageError(f"{name} has no `loss`; write loss(self, batch) -> (scalar, metrics)")


def check_device(device: str) -> None:
    """Raise UsageError if ``device`` is not a device or cannot be used here."""
    import torch

    try:
        kind, index = torch.device(device).type, torch.device(device).index or 0
    except RuntimeError:
        kind, index = "", 0
    counts = {"cpu": 1, "cuda": torch.cuda.device_count()}
    if kind not in counts:
        raise unknown("device", device, counts)
    if index >= counts[kind]:
        what = f"{kind.upper()} device {index}" if index else f"{kind.upper()} device"
        raise UsageError(f"--device {device}: no {what} can be used here; use --device cpu")
