"""What a task is in either domain, and how an id becomes one. Imports no simulator and no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lagbench import registry
from lagbench.config import coerce
from lagbench.domain import Domain
from lagbench.errors import UsageError, unknown
from lagbench.protocol import Protocol


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
    def policy_is_portable(self) -> bool:
        """Whether a policy is small, and needs nothing to be used that is outside this package."""
        return True

    @property
    def seeded_weights(self) -> bool:
        """Whether a run's seed draws its first weights, so that no two seeds end with the same."""
        return True

    def network(self) -> Any:
        """A ``Policy`` of this task, with weights that mean nothing: what the state of any other must look like."""
        raise NotImplementedError

    @property
    def pins(self) -> tuple[str, ...]:
        """The options that ``pinned`` sets."""
        return ()

    def pinned(self) -> Self:
        """The task with the digests, as options, of what its options name outside this package. Raises UsageError."""
        return self

    def check(self, protocol: Protocol, evaluation_episodes: int) -> None:
        """Raise UsageError where no run of these sizes can be made of it here: what it needs is not there, say."""


def load_task(task_id: str, options: Mapping[str, Any] | None = None) -> TaskSpec:
    """The task of that id, with ``options`` over the defaults it was registered with.

    ``task_id`` may carry the ``lagbench/`` of its Gymnasium id. Raises UsageError, with the nearest known name, for an
    unknown task or option, and for an option value of the wrong type.
    """
    entry = registry.task_entry(task_id)
    task = registry.load(entry.entry)(entry.task_id, **{**entry.options, **(options or {})})
    assert isinstance(task, TaskSpec)
    return task


def check_options(task_id: str, options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` in the types of ``defaults``, name by name, as a new dict.

    A whole number stands for a float, and text is read, as the command line gives it; no other type stands for another.
    Raises UsageError for a name that is not in ``defaults``, with the nearest one that is, and for a value of the wrong
    type.
    """
    checked = {}
    for name, value in options.items():
        if name not in defaults:
            raise unknown("task option", name, defaults)
        wanted = type(defaults[name])
        if isinstance(value, str):
            with contextlib.suppress(UsageError):
                value = coerce(name, wanted, value)
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise UsageError(
                f"task option {name!r} of {task_id} takes {_NOUNS.get(wanted, wanted.__name__)}, not {value!r}; "
                f"its default is {defaults[name]!r}"
            )
        checked[name] = value
    return checked


_NOUNS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
