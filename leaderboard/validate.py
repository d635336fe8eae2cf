"""``validate``: check a submission without training, and its source with ``lagbench check``."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any

import msgspec

from lagbench import LagbenchError, Suite, UsageError, collect_copy, load_suite, suite_names
from lagbench.leaderboard import sandbox, submission
from lagbench.leaderboard.sandbox import GIBIBYTE, Limits, Overstepped, Sandbox
from lagbench.leaderboard.submission import Cell, Claim, Submission
from lagbench.leaderboard.text import fold, shown

READING = Limits(memory=4 * GIBIBYTE, file=1 << 20, directory=GIBIBYTE, processes=256, seconds=120.0)
"""Limits for reading a submission."""
CHECKING = Limits(memory=8 * GIBIBYTE, file=1 << 24, directory=GIBIBYTE, seconds=300.0)
"""Limits for ``lagbench check`` of its source."""
_MOST = 1e6  # above the return of any control episode, which has at most a thousand steps
_LISTED = 20


@dataclass(frozen=True)
class Validation:
    """The submission's SHA-256, None if it cannot be read, and its problems, each in a sentence."""

    path: Path
    sha256: str | None
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether there are no problems."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {
            "path": str(self.path),
            "valid": self.passed,
            "submission": self.sha256,
            "problems": list(self.problems),
        }


def validate(path: Path) -> Validation:
    """Validate the submission in a directory, in a process with limited resources. Its source is not executed."""
    with tempfile.TemporaryDirectory(prefix="lagbench-") as out, tempfile.TemporaryFile() as stdout:
        try:
            # No sandbox is needed: nothing of the submission is executed.
            sandbox.run(
                Sandbox(None, ()),
                ["-m", __spec__.name, str(path.absolute())],
                directory=Path(out),
                limits=READING,
                stdout=stdout,
                stderr=sandbox.NOWHERE,
            )
            stdout.seek(0)
            sha256, problems = msgspec.json.decode(stdout.read(), type=tuple[str | None, list[str]])
        except (Overstepped, msgspec.DecodeError) as error:
            reason = str(error) if isinstance(error, Overstepped) else "the process that read it died"
            sha256, problems = None, [f"it cannot be read: {reason}"]
    return Validation(path, sha256, tuple(problems))


def valid(path: Path) -> Submission:
    """The submission in a directory. Raises LagbenchError if it is not valid."""
    if problems := validate(path).problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise LagbenchError(f"{path} is not valid ({problems[0]}{more}); see: lagbench leaderboard validate {path}")
    return submission.read(path)


def examine(path: Path) -> tuple[str | None, list[str]]:
    """The SHA-256 of a submission, None if it cannot be read, and its problems; reads it in this process."""
    try:
        found = submission.read(path)
    except LagbenchError as error:
        return None, [str(error)]
    problems = [shown(problem) for problem in _problems(found)]
    if (more := len(problems) - _LISTED) > 0:
        problems[_LISTED:] = [f"and {more:,} more"]
    return found.sha256, problems


def _problems(found: Submission) -> Iterator[str]:
    yield from _place(found)
    yield from _names(found)
    yield from _source(found)
    try:
        suite = load_suite(found.manifest.suite.name)
    except UsageError:
        yield f"suite: there is no suite {found.manifest.suite.name}; known: {', '.join(suite_names())}"
        return
    if suite.replaced_by is not None:
        yield f"suite: {suite.name} is retired; {suite.replaced_by} replaces it"
    elif suite.sha256 != found.manifest.suite.sha256:
        mine, here = found.manifest.suite.sha256[:12], suite.sha256[:12]
        yield f"suite: it belongs to another version of {suite.name} ({mine}…) than this lagbench's ({here}…)"
    else:
        yield from _claim(found.claim, suite)


def _place(found: Submission) -> Iterator[str]:
    if found.path.name != found.slug:
        yield f"slug: it is {found.slug}, but the directory is named {found.path.name}"
    if (parent := found.path.absolute().parent.name) in suite_names() and parent != found.manifest.suite.name:
        yield f"suite: it is {found.manifest.suite.name}, but it is in the directory of {parent}"


def _names(found: Submission) -> Iterator[str]:
    """No name may look like one that ships with lagbench, or like that of an earlier submission."""
    own = {"name": fold(found.manifest.name), "slug": fold(found.slug)}
    ours = [
        (f"{one.name}, which comes with lagbench", fold(one.name)) for one in entry_points(group="lagbench.algorithms")
    ]
    for other in sorted(found.path.absolute().parent.iterdir()):
        if other.name != found.path.name and (other / submission.MANIFEST).is_file():
            try:
                beside = submission.read(other)
            except LagbenchError:
                continue
            ours += [(f"that of {other.name}", fold(name)) for name in (beside.manifest.name, beside.slug)]
    for what, folded in own.items():
        for whose, taken in ours:
            if folded == taken:
                yield f"{what}: it is confusable with {whose}; choose another"
                break


def _source(found: Submission) -> Iterator[str]:
    directory = found.path / submission.SOURCE
    try:
        source = collect_copy(directory / found.manifest.algorithm.main, directory)
    except (UsageError, RecursionError, MemoryError) as error:
        yield f"source: {error or type(error).__name__}".replace(f"{directory}/", "")
        return
    for name in sorted(found.source.files.keys() - source.files.keys()):
        yield f"source: nothing imports {name}"


def _claim(claim: Claim, suite: Suite) -> Iterator[str]:
    plan = suite.evaluation
    planned = {
        "budget": suite.budget,
        "episodes": plan.episodes,
        "mode_episodes": plan.mode_episodes or 0,
        "intervals": plan.intervals,
    }
    for name, value in planned.items():
        if (told := getattr(claim, name)) != value:
            yield f"results.json: {name} is {told}, but {value} in {suite.name}"
    wanted = [(cell.task, cell.protocol.lag, cell.protocol.updates, cell.seed) for cell in suite.cells()]
    for i, (place, cell) in enumerate(zip_longest(wanted, claim.cells)):
        if cell is None or place is None or place != (cell.task, cell.lag, cell.updates, cell.seed):
            lacks = "it has no other cell" if place is None else f"{_named(place)} belongs there"
            yield f"results.json: cells[{i}] is not that of {suite.name}: {lacks}"
            return
        yield from (f"results.json: {_named(place)}: {fault}" for fault in _cell(cell, suite))


def _named(place: tuple[Any, ...]) -> str:
    return "{} at lag {}, {} updates, seed {}".format(*place)


def _cell(cell: Cell, suite: Suite) -> Iterator[str]:
    plan = suite.evaluation
    complete = plan.intervals + 1
    if len(cell.returns) != complete if cell.status == "completed" else len(cell.returns) > plan.intervals:
        yield f"it {cell.status} with {len(cell.returns)} of {complete} evaluations"
    beside = len(cell.returns) if plan.mode_episodes else 0
    if (len(cell.errors), len(cell.mode_returns), len(cell.mode_errors)) != (len(cell.returns), beside, beside):
        yield "the numbers of standard errors and of mean-action returns are not that of its evaluations"
    low, high = (0.0, 1.0) if suite.domain.returns_are_scores else (-_MOST, _MOST)
    for values, episodes in ((cell.errors, plan.episodes), (cell.mode_errors, plan.mode_episodes)):
        if any((error is None) != (episodes == 1) or not 0 <= (error or 0.0) <= high - low for error in values):
            yield f"a standard error is impossible for {episodes} episodes"
    if any(not low <= value <= high for value in (*cell.returns, *cell.mode_returns)):
        yield f"a mean return is not between {low:,.0f} and {high:,.0f}, the range of {cell.task}"


def check(found: Submission, kept: Sandbox) -> list[str]:
    """Failures of ``lagbench check`` on the source, run in a sandbox, each in a sentence.

    The source could fake the result, but gains nothing by that: only its training is ranked.
    """
    algorithm = found.manifest.algorithm
    settings = [f"{name}={_text(value)}" for name, value in found.manifest.config.items()]
    arguments = ["-m", "lagbench", "check", f"{algorithm.main}:{algorithm.cls}", "--json"]
    with tempfile.TemporaryDirectory(prefix="lagbench-") as directory:
        place = Path(directory, submission.SOURCE)
        shutil.copytree(found.path / submission.SOURCE, place)
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            try:
                code = sandbox.run(
                    kept,
                    [*arguments, *(word for setting in settings for word in ("--set", setting))],
                    directory=place,
                    limits=CHECKING,
                    stdout=stdout,
                    stderr=stderr,
                )
            except Overstepped as error:
                return [f"check: {error}"]
            return [] if code == 0 else _failures(code, stdout, stderr)


def _failures(code: int, stdout: IO[bytes], stderr: IO[bytes]) -> list[str]:
    stdout.seek(0)
    try:
        checks = json.loads(stdout.read())["checks"]
        told = [shown(f"{one['name']}: {one['message']}") for one in checks if one["outcome"] == "failed"][:_LISTED]
    except (ValueError, KeyError, TypeError, RecursionError):
        told = []
    return [f"check: {one}" for one in told or [sandbox.said(stderr) or f"it ended with exit code {code}"]]


def _text(value: bool | int | float | str | None) -> str:
    """A value as ``--set`` takes it."""
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)


def _main(arguments: Sequence[str]) -> None:
    print(json.dumps(examine(Path(arguments[0]))))


if __name__ == "__main__":
    _main(sys.argv[1:])
