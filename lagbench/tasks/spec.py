"""What a task is in either domain, and how an id becomes one. Imports no simulator and no torch."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from lagbench import domain as domains
from lagbench import registry
from lagbench.config import Count, coerce, describe
from lagbench.domain import Domain
from lagbench.errors import LagbenchError, UsageError, reason, unknown
from lagbench.machine import Outside
from lagbench.protocol import DEFAULT_HIDDEN, Protocol
from lagbench.registry import TaskEntry
from lagbench.source import functions
from lagbench.source.files import Source

if TYPE_CHECKING:
    import torch

SOURCE = "source_sha256"
"""A task option of specifications: the SHA-256 of the source of a task that is named by what makes it."""
OWN_OPTIONS: Mapping[str, Any] = MappingProxyType({"max_episode_steps": 1000, "vectorization": "sync"})
"""Options of tasks of Gymnasium environments, as examples of their types, which the harness takes where they do not."""


@dataclass(frozen=True)
class TaskSpec:
    """A task as resolved data: its id, its domain and the options that differ from its defaults.

    Each domain's own class adds the spaces and how to make environments. Two specs made from the same id and options
    are equal and simulate alike.
    """

    task_id: str
    domain: Domain
    options: Mapping[str, Any]

    @property
    def record_sizes(self) -> Mapping[str, int]:
        """What the sizes of its records' columns depend on; each domain has its own names for them."""
        return {}

    @property
    def group(self) -> int:
        """How many samples of a phase belong together and come from one policy version."""
        return 1

    @property
    def longest_episode(self) -> int:
        """The steps after which an episode is cut."""
        raise NotImplementedError

    @property
    def repeats(self) -> bool:
        """Whether its episodes follow from seeds and actions, to the bit; may take a while."""
        return True

    def network(
        self,
        hidden: Sequence[int] = DEFAULT_HIDDEN,
        generator: torch.Generator | None = None,
        build: Callable[..., Any] | None = None,
    ) -> Any:
        """A ``Policy`` of this task, as a run begins with it.

        ``hidden`` as in a ``Protocol``; a task that brings a model has no use for it. Without the ``generator`` of the
        first weights they mean nothing: what the state of any other must look like. ``build`` makes a network of a
        user's own from (observation space, action space, generator); see ``lagbench.policies.own``. Raises UsageError
        where it makes none that the task can take.
        """
        raise NotImplementedError

    @property
    def pins(self) -> tuple[str, ...]:
        """The digests that ``pinned`` sets, which a suite leaves to a run."""
        return ()

    def pinned(self) -> Self:
        """The task with all that its rows depend on as options; those that it has stay. Raises UsageError.

        Digests of what its options name outside this package, as it is now; the date.
        """
        return self

    def check(self, protocol: Protocol, evaluation_episodes: int) -> None:
        """Raise UsageError where no run of these sizes can be made of it here: what it needs is not there, say."""

    def rehearse(self, device: str, policy: Any = None) -> None:
        """Raise UsageError where what it needs is there and cannot do what a run asks of it; may take a while.

        ``policy`` is the run's where its network is of a user's own.
        """

    @property
    def packages(self) -> tuple[str, ...]:
        """What its rows depend on beside the packages of its domain."""
        return ()

    def outside(self) -> Outside:
        """What of this machine it reads beyond Python and this package. Raises UsageError where that is not there."""
        return Outside()

    def about(self) -> Mapping[str, str]:
        """What a run's display shows of it beside its options, by name. Raises UsageError."""
        return {}


def load_task(task: str, options: Mapping[str, Any] | None = None) -> TaskSpec:
    """A task by its id, or by what makes it (``registry.task_entry``), with ``options`` over the defaults of its entry.

    An id may carry the ``lagbench/`` of its Gymnasium id. Raises UsageError for an unknown task or option, with the
    nearest known name, for an option's value of the wrong type, for what makes no task, and where the source is nowhere
    that ``options`` name by its digest (``pinned_source``).
    """
    entry, given = registry.task_entry(task), dict(options or {})
    return make(entry, given, functions.find(task, given.pop(SOURCE, None))[0] if registry.is_own(task) else None)


def make(entry: TaskEntry, options: Mapping[str, Any], source: Source | None = None) -> TaskSpec:
    """The task of an entry, from its source where it has one. Raises UsageError where what it names makes none."""
    if source is None and functions.is_file(entry.entry):
        source, _ = functions.find(entry.entry)
    made: Any
    try:
        made, given = called(functions.load(entry.entry, source), entry.task_id, {**entry.options, **options})
    except LagbenchError:
        raise
    except Exception as error:
        raise UsageError(f"{entry.entry} cannot create the task {entry.task_id}: {reason(error)}") from error
    if not isinstance(made, TaskSpec):
        made = registry.load(registry.ENVIRONMENT_TASK)(entry.entry, source, given, made)
    elif "vectorization" in given.keys() - made.options.keys():
        raise UsageError(f"vectorization is an option of Gymnasium environments, not of {entry.task_id}; leave it out")
    if entry.domain not in (None, made.domain.name):
        raise UsageError(
            f"{entry.entry} creates a {made.domain.name} task, which must be registered under an id: with "
            f"lagbench.register_task, or by an entry point in the group {registry.TASK_GROUP}"
        )
    task: TaskSpec = dataclasses.replace(made, task_id=entry.task_id)
    return task


def called(function: Callable[..., Any], task_id: str, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """What a function makes a task or an environment of, and the options in the types of its defaults.

    The id is given to a function whose first argument has no default, and not to a class. ``OWN_OPTIONS`` that the
    function does not take are left to whom the environment is stepped by. Raises UsageError for an option that there
    is not.
    """
    parameters = inspect.signature(function).parameters.values()
    named = {p.name: p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    first = next((p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)), None)
    takes_id = first is not None and first.default is first.empty and not isinstance(function, type)
    if takes_id and first is not None:
        named.pop(first.name, None)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    defaults = {name: p.default for name, p in named.items() if type(p.default) in (bool, int, float, str)}
    left = {name: kind for name, kind in OWN_OPTIONS.items() if name not in named}
    if not takes_any and (strange := options.keys() - named.keys() - left.keys()):
        raise unknown("task option", min(strange), {*named, *left})
    if not takes_any:
        defaults |= left
    given = {**options, **check_options(task_id, {k: x for k, x in options.items() if k in defaults}, defaults)}
    withheld = {"vectorization"} & left.keys() if takes_any else left.keys()
    arguments = {name: x for name, x in given.items() if name not in withheld}
    for name in arguments.keys() & left.keys():
        with contextlib.suppress(UsageError):  # what is wrong with it, the function knows better
            arguments |= check_options(task_id, {name: arguments[name]}, left)
    return function(*([task_id] if takes_id else []), **arguments), {**given, **arguments}


def pinned_source(task: str) -> dict[str, str]:
    """The option that pins the source of a task which is named by what makes it; none of one with an id."""
    return {SOURCE: functions.find(task)[1]} if registry.is_own(task) else {}


def source_of(task: str, options: Mapping[str, Any]) -> Source | None:
    """The source that pinned it, for a run to copy; None of a task with an id, and of what is installed."""
    return functions.find(task, options.get(SOURCE))[0] if registry.is_own(task) else None


def repeats(task: str, options: Mapping[str, Any]) -> bool:
    """Whether a task's episodes follow from seeds and actions: tried, but of those that lagbench's tests try."""
    return task in registry.TESTED or load_task(task, options).repeats


def domain_of(task: str) -> Domain:
    """A task's domain, without running what makes it unless that is installed. Raises UsageError as ``load_task``."""
    entry = registry.task_entry(task)
    return make(entry, {}).domain if entry.domain is None else domains.get(entry.domain)


def check_options(task_id: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` in the types of ``defaults``, name by name, as a new dict.

    A whole number stands for a float, and text is read, as the command line gives it; no other type stands for another.
    Raises UsageError for a name that is not in ``defaults``, with the nearest one that is, for a value of the wrong
    type, and for a whole number that is not at least 1 or that no column of the records could hold.
    """
    checked = {}
    for name, value in options.items():
        if name not in defaults:
            raise unknown("task option", str(name), defaults)
        wanted, what = type(defaults[name]), f"task option {name!r} of {task_id}"
        kind: Any = Count if wanted is int else wanted
        try:
            if type(value) not in (wanted, str) and (wanted, type(value)) != (float, int):
                raise UsageError(f"{what} must be {describe(kind)}, not {value!r}")
            checked[name] = coerce(what, kind, value)
        except UsageError as error:
            raise UsageError(f"{error}; its default is {defaults[name]!r}") from None
    return checked
