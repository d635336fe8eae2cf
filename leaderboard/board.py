"""The board of a suite as data: its submissions, how far each is checked, and what their numbers come to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lagbench import LagbenchError, Suite, UsageError, load_suite
from lagbench.leaderboard import ratings, reproduction, states, traces, verification
from lagbench.leaderboard.former import Submission
from lagbench.leaderboard.ratings import Line, Results, Submitted
from lagbench.leaderboard.states import State
from lagbench.leaderboard.traces import Trace
from lagbench.leaderboard.validate import Validation, validate
from lagbench.leaderboard.verification import Reevaluation, Verification

FORMAT_VERSION = 1
SUBMISSIONS = Path(__file__).parent / "submissions"
"""Those of a checkout: a directory a suite, and in it one a submission."""
BOARDS = Path(__file__).parent / "boards"
"""The numbers of each suite's board as they were last published, in a checkout."""
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Row:
    """A run: its cell, its returns as reported, and its final return as measured again.

    Attributes:
        name: its directory in the submission.
        task: of its cell; so are ``value``, of the suite's axis, and ``seed``.
        diverged: whether it ended so; then it has fewer returns, no final one and no area.
        fractions: of the budget, at which it was evaluated.
        returns: mean returns there.
        final: of the final evaluation's episodes, as submitted.
        area: under the curve of ``returns``.
        updates_made: a phase.
        again: its policy on fresh seeds; None where that was not done.
    """

    name: str
    task: str
    value: int
    seed: int
    diverged: bool
    fractions: tuple[float, ...]
    returns: tuple[float, ...]
    final: float | None
    area: float | None
    updates_made: float | None
    again: Reevaluation | None


@dataclass(frozen=True)
class Entry:
    """A submission on the board.

    Attributes:
        submission: what its manifest says.
        validation: without problems.
        verification: the report on it, if there is one.
        state: what follows from them.
        line: its numbers on the board: final scores by fresh episodes where it is re-evaluated, else by the episodes
            that were submitted; areas by reported returns.
        submitted: its final scores by the episodes that were submitted.
        rows: its runs.
        traces: what was measured in training.
        files: of its archive, by the path in it.
    """

    submission: Submission
    validation: Validation
    verification: Verification | None
    state: State
    line: Line
    submitted: Submitted
    rows: tuple[Row, ...]
    traces: tuple[Trace, ...]
    files: Mapping[str, Path]

    @property
    def slug(self) -> str:
        """The name of its directory, and of its lines."""
        return self.submission.slug

    @property
    def fresh(self) -> bool:
        """Whether its final scores stand on episodes that were played after it was submitted."""
        return self.state.reaches(states.REEVALUATED)


@dataclass(frozen=True)
class Board:
    """All submissions of a suite, by rank. ``results`` has a line for each, by its slug."""

    suite: Suite
    results: Results
    entries: tuple[Entry, ...]

    def to_json(self) -> dict[str, Any]:
        """All numbers, and what they stand on, as a JSON-able dictionary."""
        return {
            "format_version": FORMAT_VERSION,
            "suite": {"name": self.suite.name, "sha256": self.suite.sha256},
            "entries": [
                {
                    "slug": entry.slug,
                    "name": entry.submission.name,
                    "submission": entry.submission.sha256,
                    "state": entry.state.to_json(),
                    "fresh": entry.fresh,
                    "nonce": entry.verification.nonce if entry.verification else None,
                    "submitted": dataclasses.asdict(entry.submitted),
                }
                for entry in self.entries
            ],
            "results": self.results.to_json(),
        }


def find(directory: Path) -> dict[str, list[Path]]:
    """Suite → submissions in a directory ``<suite>/<slug>``, sorted. Raises UsageError for what is no suite."""
    if not directory.is_dir():
        raise UsageError(f"there is no directory {directory}; give that of the submissions with --submissions")
    found = {}
    for suite in sorted(path for path in directory.iterdir() if path.is_dir()):
        load_suite(suite.name)
        if paths := sorted(path for path in suite.iterdir() if path.is_dir()):
            found[suite.name] = paths
    return found


@dataclass(frozen=True)
class Checked:
    """A submission with all that is known of it before it is scored; see ``Entry``."""

    submission: Submission
    validation: Validation
    verification: Verification | None
    state: State
    files: Mapping[str, Path]

    @property
    def slug(self) -> str:
        """See ``Entry``."""
        return self.submission.slug

    @property
    def finals(self) -> Mapping[str, float] | None:
        """Final returns by run on fresh seeds, where it is ranked by them."""
        if self.verification is None or not self.state.reaches(states.REEVALUATED):
            return None
        return self.verification.finals


def check(suite: str, paths: Sequence[Path], progress: Progress = lambda done, total: None) -> list[Checked]:
    """Validate the submissions of a suite, and read the reports on them.

    ``progress`` is told how many of how many are validated. Raises LagbenchError where one is not valid, is of another
    suite, or has a report that is not of it.
    """
    found = []
    for path in paths:
        found.append(_checked(suite, path))
        progress(len(found), len(paths))
    return found


def board(
    suite: str,
    checked: Sequence[Checked],
    *,
    replications: int,
    progress: Progress = lambda done, total: None,
    results: Results | None = None,
) -> Board:
    """The board of a suite.

    Args:
        suite: its name.
        checked: its submissions.
        replications: of the bootstrap.
        progress: told how many bootstraps of how many are done.
        results: of the bootstrap, where they are known; see ``published``.
    """
    rated = ratings.rate(
        [(one.slug, one.validation.table, one.finals) for one in checked],
        replications=replications,
        progress=progress,
        results=results,
    )
    entries = [_entry(one, rated) for one in checked]
    last = len(entries)
    entries.sort(key=lambda entry: (entry.line.rank or last, -_height(entry.line), entry.slug))
    return Board(load_suite(suite), rated.results, tuple(entries))


def published(suite: str, checked: Sequence[Checked]) -> Results | None:
    """What was published in ``BOARDS`` of exactly these submissions and the reports on them; None where nothing was."""
    file = BOARDS / f"{suite}.json"
    if not file.is_file():
        return None
    document = json.loads(file.read_text(encoding="utf-8"))
    theirs = {(entry["slug"], entry["submission"], entry["nonce"]) for entry in document["entries"]}
    ours = {(one.slug, one.submission.sha256, one.verification and one.verification.nonce) for one in checked}
    if theirs != ours or document["suite"]["sha256"] != load_suite(suite).sha256:
        return None
    return Results.from_json(document["results"])


def _checked(suite: str, path: Path) -> Checked:
    validation = validate(path)
    submission = validation.submission
    if submission is None or validation.problems:
        more = f", and {len(validation.problems) - 1} more" if len(validation.problems) > 1 else ""
        raise LagbenchError(
            f"{path} is not valid, and comes on no board ({validation.problems[0]}{more}); see: lagbench leaderboard "
            f"validate {path}"
        )
    if submission.suite.name != suite:
        raise LagbenchError(
            f"{path} is of {submission.suite.name}, and lies among those of {suite}; move it to "
            f"{path.parent.with_name(submission.suite.name) / path.name}"
        )
    files = {f"{submission.slug}/{name}": path / name for name in (*submission.files, "submission.json")}
    report, again = verification.file_of(path), reproduction.file_of(path)
    verified = verification.read(report, submission) if report.is_file() else None
    reproduced = reproduction.read(again) if again.is_file() else None
    for file, kind in ((report, "verification"), (again, "reproduction")):
        if file.is_file():
            files[f"{submission.slug}.{kind}.json"] = file
    state = states.state(validation, verified, reproduced)
    assert state is not None, "a submission without problems has a state"
    return Checked(submission, validation, verified, state, dict(sorted(files.items())))


def _entry(one: Checked, rated: ratings.Ratings) -> Entry:
    return Entry(
        submission=one.submission,
        validation=one.validation,
        verification=one.verification,
        state=one.state,
        line=rated.line(one.slug),
        submitted=rated.submitted[one.slug],
        rows=rows(one.validation.table, one.verification, rated.results.axis),
        traces=traces.of(one.submission, rated.results.axis),
        files=one.files,
    )


def rows(table: Any, report: Verification | None, axis: str) -> tuple[Row, ...]:
    """The runs of a submission, from the table of its validation and the report on it."""
    again = {found.run: found for found in report.reevaluated} if report else {}
    return tuple(
        Row(
            name=row["path"],
            task=row["task"],
            value=row[axis],
            seed=row["seed"],
            diverged=row["status"] == "diverged",
            fractions=tuple(row["fractions"]),
            returns=tuple(row["returns"]),
            final=row["final"],
            area=row["area"],
            updates_made=row["updates_made"],
            again=again.get(row["path"]),
        )
        for row in table.to_pylist()
    )


def _height(line: Line) -> float:
    return float("-inf") if line.lag_score is None else line.lag_score.value
