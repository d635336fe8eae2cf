"""Options shared by the commands, and parsing of their values."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import click
from click.shell_completion import CompletionItem

from lagbench import registry
from lagbench.config import parse_integer
from lagbench.errors import UsageError, unknown
from lagbench.source.algorithms import is_there


# click's types are generic only in its later versions.
class Integer(click.ParamType):  # type: ignore[type-arg]
    """An integer, written as 1M, 1e6 or 1_000_000."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it; a click error if it is not valid."""
        if isinstance(value, int):
            return value
        try:
            return parse_integer(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a whole number (1M, 1e6 and 1_000_000 are)", param, ctx)


class Duration(click.ParamType):  # type: ignore[type-arg]
    """A duration in seconds, written as 90, 90s, 5m or 1h."""

    name = "duration"
    _UNITS: ClassVar[Mapping[str, float]] = {"s": 1.0, "m": 60.0, "h": 3600.0}

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse it; a click error if it is not valid."""
        if isinstance(value, float):
            return value
        number, unit = (value[:-1], self._UNITS[value[-1]]) if value[-1:] in self._UNITS else (value, 1.0)
        try:
            seconds = float(number) * unit
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            self.fail(f"{value!r} is not a time such as 0, 60s, 5m or 1h", param, ctx)
        return seconds


class OneOf(click.Choice):  # type: ignore[type-arg]
    """A choice whose error suggests the nearest one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check it; a click error with all choices if it is not one of them."""
        if value not in self.choices:
            self.fail(str(unknown("value", str(value), self.choices)), param, ctx)
        return str(value)


class Name(click.ParamType):  # type: ignore[type-arg]
    """A name that is looked up later; the shell completes it from ``known``."""

    def __init__(self, name: str, known: Callable[[], Iterable[str]]) -> None:
        self.name = name
        self._known = known

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin so; if there is none, files."""
        names = [CompletionItem(name) for name in self._known() if name.startswith(incomplete)]
        return names or [CompletionItem(incomplete, type="file")]


class Assignment(click.ParamType):  # type: ignore[type-arg]
    """``name=value``."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split it; a click error if it has no ``=``."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f"{value!r} is not of the form name=value", param, ctx)
        return name.strip(), text.strip()


class Several(click.ParamType):  # type: ignore[type-arg]
    """Comma-separated values of another type, as a tuple. For options that can be repeated, see ``flat``."""

    def __init__(self, one: click.ParamType) -> None:  # type: ignore[type-arg]
        self._one = one
        self.name = f"{one.name},…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Parse each; a click error if there is none, or for the first that is not valid."""
        if isinstance(value, tuple):
            return value
        parts = self._split(str(value))
        if not all(parts):
            self.fail(f"{value!r} is not a list such as a,b,c", param, ctx)
        return tuple(x for part in parts for x in self._each(part, param, ctx))

    def _split(self, text: str) -> list[str]:
        return [part.strip() for part in text.split(",")]

    def _each(self, part: str, param: click.Parameter | None, ctx: click.Context | None) -> Iterable[Any]:
        return [self._one.convert(part, param, ctx)]

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete the last value."""
        before, comma, last = incomplete.rpartition(",")
        found = self._one.shell_complete(ctx, param, last)
        return [CompletionItem(f"{before}{comma}{item.value}", type=item.type) for item in found]


class Algorithms(Several):
    """Comma-separated algorithms; the path of an existing file may contain commas."""

    def __init__(self) -> None:
        super().__init__(Name("name", registry.algorithms))

    def _split(self, text: str) -> list[str]:
        parts, found = text.split(","), []
        while parts:
            longer = (n for n in range(1, len(parts) + 1) if is_there(",".join(parts[:n]).strip()))
            n = next(longer, 1)
            found.append(",".join(parts[:n]).strip())
            parts = parts[n:]
        return found


class Seeds(Several):
    """Comma-separated seeds and ranges of seeds: 0-4 or 0,3,7-9."""

    _MOST = 10_000

    def __init__(self) -> None:
        super().__init__(INTEGER)
        self.name = "seeds"

    def _each(self, part: str, param: click.Parameter | None, ctx: click.Context | None) -> Iterable[int]:
        first, dash, last = part.partition("-")
        if not dash or not first:
            return super()._each(part, param, ctx)
        low, high = (self._one.convert(end, param, ctx) for end in (first, last))
        if high < low:
            self.fail(f"{part!r} is not a range: {high} is less than {low}", param, ctx)
        if high - low >= self._MOST:
            self.fail(f"{part!r} is {high - low + 1:,} seeds; a range has at most {self._MOST:,}", param, ctx)
        return range(low, high + 1)


class Once(click.Command):
    """A command that refuses an option given twice, unless it can be repeated."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's, which would take the last of several values."""
        *_, given = self.make_parser(ctx).parse_args(args=list(args))
        for param, times in Counter(given).items():
            if times > 1 and not param.multiple and not getattr(param, "is_flag", False):
                raise click.BadOptionUsage(param.name, f"{param.opts[0]} was given {times} times; give it once", ctx)
        return super().parse_args(ctx, args)


def flat(_: click.Context, __: click.Parameter, values: Iterable[Iterable[Any]]) -> list[Any]:
    """A click callback: the values of all occurrences of an option, without duplicates."""
    return list(dict.fromkeys(x for given in values for x in given))


INTEGER = Integer()
ASSIGNMENT = Assignment()
DURATION = Duration()
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

threads_option: Decorator = click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    metavar="K",
    help="EnvPool threads; 0: one per core. Affects speed, not results.",
    show_default=True,
)
checkpoint_option: Decorator = click.option(
    "--checkpoint-every",
    type=DURATION,
    default="60s",
    metavar="TIME",
    help="Time between checkpoints (at most a tenth of the run); 0: after each phase.",
    show_default=True,
)
ray_option: Decorator = click.option(
    "--ray",
    metavar="ADDRESS",
    help="Asynchronous runs: Ray cluster for the actors: auto, or HOST:PORT of its head.  [default: none]",
)
json_option: Decorator = click.option("--json", "as_json", is_flag=True, help="Print one JSON document to stdout.")
quiet_option: Decorator = click.option("-q", "--quiet", is_flag=True, help="Do not print progress.")
log_option: Decorator = click.option(
    "--log",
    type=Name("name", registry.sinks),
    multiple=True,
    metavar="NAME",
    help="Also log every phase with: jsonl, tensorboard, wandb, trackio, or an installed sink. May be repeated.",
)
set_option: Decorator = click.option(
    "--set",
    "config",
    type=ASSIGNMENT,
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a hyperparameter; see `lagbench show ALGO`. May be repeated.",
)


def replications_option(default: int, note: str = "") -> Decorator:
    """``--replications`` of the bootstrap. Raises UsageError below 1."""

    def at_least_1(_: click.Context, __: click.Parameter, replications: int) -> int:
        if replications < 1:
            raise UsageError(f"--replications must be at least 1, not {replications}")
        return replications

    return click.option(
        "--replications",
        type=INTEGER,
        callback=at_least_1,
        default=default,
        metavar="N",
        help=f"Bootstrap replications for the intervals{note}.",
        show_default=True,
    )


def stacked(*decorators: Decorator) -> Decorator:
    """Several options as one decorator, in the order of the help."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        return functools.reduce(lambda inner, decorator: decorator(inner), reversed(decorators), command)

    return decorate


spec_options: Decorator = stacked(
    click.option(
        "--lag-mode",
        type=Name("mode", registry.lag_modes),
        metavar="MODE",
        help="How versions are assigned to actors. uniform: drawn from those 0 … L versions old; fixed: L versions "
        "old; docs/lag.md has more.  [default: uniform]",
    ),
    click.option(
        "--lag-set",
        "lag_options",
        type=ASSIGNMENT,
        multiple=True,
        metavar="NAME=VALUE",
        help="Set an option of the lag mode. May be repeated.",
    ),
    click.option(
        "--forward",
        type=OneOf(["reuse", "split"]),
        help="How a phase's samples are used. reuse: whole epochs; split: one pass in U minibatches.  "
        "[default: reuse; language: split]",
    ),
    click.option("--minibatch", type=INTEGER, metavar="B", help="Samples per minibatch.  [default: 256; language: 32]"),
    click.option(
        "--actors",
        type=INTEGER,
        metavar="N",
        help="Number of actors.  [default: 32; language: one per prompt, at most 8]",
    ),
    click.option(
        "--phase-steps",
        type=INTEGER,
        metavar="T",
        help="Steps per actor and phase.  [default: 64; split: U × B / N]",
    ),
    click.option(
        "--hidden",
        type=Several(INTEGER),
        metavar="UNITS",
        help="Units of each hidden layer of actor and critic (control).  [default: 64,64]",
    ),
    click.option(
        "--policy",
        metavar="FUNCTION",
        help="A network of your own, path/to/file.py:function, and no benchmark's (docs/networks.md).  "
        "[default: the task's]",
    ),
    click.option(
        "--budget",
        type=INTEGER,
        metavar="STEPS",
        help="Total actor steps, such as 300k; language: completions.  [default: 1M; language: 20480]",
    ),
    click.option(
        "--task-set",
        "task_options",
        type=ASSIGNMENT,
        multiple=True,
        metavar="NAME=VALUE",
        help="Set an option of the task. May be repeated.",
    ),
    click.option(
        "--eval-episodes",
        type=INTEGER,
        metavar="E",
        help="Episodes per evaluation with sampled actions, which are scored.  [default: 20; language: 200]",
    ),
    click.option(
        "--eval-mode-episodes",
        type=INTEGER,
        metavar="M",
        help="Further episodes per evaluation with deterministic actions (language: greedy), not scored.  [default: "
        "10; language: 200; at most E]",
    ),
    click.option(
        "--eval-intervals",
        type=INTEGER,
        metavar="I",
        help="Evaluate at every 1/I of the budget, starting at 0.  [default: 10]",
    ),
    click.option("--device", metavar="NAME", help="Device of the learner: cpu, cuda.  [default: cpu]"),
    click.option(
        "--torch-threads",
        type=INTEGER,
        metavar="K",
        help="torch threads on the CPU, for large models. Results differ by rounding for other values.  [default: 1]",
    ),
)
"""All other options that affect rows, apart from algorithm, task, lag, updates, seed and hyperparameters.

Named as in ``lagbench.resolve``.
"""
