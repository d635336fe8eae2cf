"""The interface of tasks in every domain, and loading by id. Imports no simulator and no torch."""

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
"""A task option in specifications: the SHA-256 of the source of a task that is named by a function."""
OWN_OPTIONS: Mapping[str, Any] = MappingProxyType({"max_episode_steps": 1000, "vectorization": "sync"})
"""Options of tasks of Gymnasium environments, with examples of their types; the harness handles them if the task's
function does not."""


@dataclass(frozen=True)
class TaskSpec:
    """A task: its id, its domain and the options that differ from its defaults.

    Subclasses of each domain add spaces and creation of environments. Specs with the same id and options are equal and
    simulate the same.
    """

    task_id: str
    domain: Domain
    options: Mapping[str, Any]

    @property
    def record_sizes(self) -> Mapping[str, int]:
        """The sizes that the columns of its records depend on, under the domain's own names."""
        return {}

    @property
    def group(self) -> int:
        """The number of samples of a phase that belong together and come from one policy version."""
        return 1

    @property
    def longest_episode(self) -> int:
        """The steps after which an episode is cut. Needed only if ``Domain.in_flight``."""
        raise NotImplementedError

    @property
    def repeats(self) -> bool:
        """Whether its episodes are reproducible from seeds and actions, bit for bit; may take a while."""
        return True

    def network(
        self,
        hidden: Sequence[int] = DEFAULT_HIDDEN,
        generator: torch.Generator | None = None,
        build: Callable[..., Any] | None = None,
    ) -> Any:
        """The initial ``Policy`` of a run on this task.

        ``hidden`` as in a ``Protocol``; ignored if the task has its own model. Without a ``generator`` the weights are
        arbitrary, for states to be loaded into. ``build`` creates the user's network from (observation space, action
        space, generator); see ``lagbench.policies.own``. Raises UsageError if the task cannot use it.
        """
        raise NotImplementedError

    @property
    def pins(self) -> tuple[str, ...]:
        """The names of the digests that ``pinned`` sets, which a suite leaves to its runs."""
        return ()

    def pinned(self) -> Self:
        """The task with everything that its rows depend on added to its options. Raises UsageError.

        Added are digests of the files and models that its options name, in their current state, and the date.
        """
        return self

    def check(self, protocol: Protocol, evaluation_episodes: int) -> None:
        """Raise UsageError if no run of these sizes is possible here, for example because its data is missing."""

    def rehearse(self, device: str, policy: Any = None) -> None:
        """Raise UsageError if its model is available but cannot do what a run needs; may take a while.

        ``policy`` is the run's policy if the user created its network.
        """

    @property
    def packages(self) -> tuple[str, ...]:
        """Further packages that its rows depend on, in addition to those of its domain."""
        return ()

    def outside(self) -> Outside:
        """The files of this machine that it reads, beyond Python and this package. Raises UsageError if missing."""
        return Outside()

    def about(self) -> Mapping[str, str]:
        """Further information for the display of a run, by name. Raises UsageError."""
        return {}


def load_task(task: str, options: Mapping[str, Any] | None = None) -> TaskSpec:
    """A task by id or function (``registry.task_entry``), with ``options`` that override the defaults of its entry.

    An id may have the prefix ``lagbench/`` of its Gymnasium id. Raises UsageError for an unknown task or option, with
    the nearest known name, a value of the wrong type, a function that does not create a task, and if the source with
    the digest in ``options`` (``pinned_source``) is not found.
    """
    entry, given = registry.task_entry(task), dict(options or {})
    return make(entry, given, functions.find(task, given.pop(SOURCE, None))[0] if registry.is_own(task) else None)


def make(entry: TaskEntry, options: Mapping[str, Any], source: Source | None = None) -> TaskSpec:
    """Create the task of an entry, from its source if given. Raises UsageError if its function does not create one."""
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
    """Call a function that creates a task or an environment; returns its result and the options as its defaults' types.

    The id is passed to a function whose first argument has no default, not to a class. ``OWN_OPTIONS`` that the
    function does not accept are left to the harness. Raises UsageError for an unknown option.
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
        with contextlib.suppress(UsageError):  # the function reports invalid values itself
            arguments |= check_options(task_id, {name: arguments[name]}, left)
    return function(*([task_id] if takes_id else []), **arguments), {**given, **arguments}


def pinned_source(task: str) -> dict[str, str]:
    """The option that pins the source of a task that is named by a function; empty for a task with an id."""
    return {SOURCE: functions.find(task)[1]} if registry.is_own(task) else {}


def source_of(task: str, options: Mapping[str, Any]) -> Source | None:
    """The pinned source, for a run to copy; None for a task with an id or an installed function."""
    return functions.find(task, options.get(SOURCE))[0] if registry.is_own(task) else None


def repeats(task: str, options: Mapping[str, Any]) -> bool:
    """Whether a task's episodes are reproducible from seeds and actions: tried, unless lagbench's tests do that."""
    return task in registry.TESTED or load_task(task, options).repeats


def domain_of(task: str) -> Domain:
    """A task's domain; runs the task's function only if it is installed. Raises UsageError as ``load_task``."""
    entry = registry.task_entry(task)
    return make(entry, {}).domain if entry.domain is None else domains.get(entry.domain)


def check_options(task_id: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` converted to the types of ``defaults``, as a new dict.

    Whole numbers are accepted for floats and text is parsed, as on the command line; there are no other conversions.
    Raises UsageError for a name that is not in ``defaults``, with the nearest known one, for a value of the wrong type,
    and for a whole number below 1 or too large for the columns of the records.
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
