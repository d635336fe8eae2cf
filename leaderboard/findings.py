"""What is asked of a submission, and what was found wrong with one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from lagbench import LagbenchError
from lagbench.leaderboard import limits
from lagbench.leaderboard.text import shown

Proves = Literal["claimed", "rescored"]
"""The state of a submission that a check belongs to; see ``states``."""


@dataclass(frozen=True)
class Check:
    """A check that ``validate`` makes: its name, what it asks in a sentence, and the state that it belongs to."""

    name: str
    about: str
    state: Proves


CHECKS = (
    Check("files", "The files of a submission are there, no others, plain, and within the limits.", "claimed"),
    Check("json", "JSON is plain: no deep nesting, no key twice, no number that JSON has not.", "claimed"),
    Check("manifest", "submission.json has its fields, each of its type and length.", "claimed"),
    Check("hashes", "Every file has the SHA-256 and the size that the manifest gives it.", "claimed"),
    Check("grid", "Every cell of the suite has its run, and no run is there twice.", "claimed"),
    Check("source", "algorithm.txt is the source with which the runs were made.", "claimed"),
    Check(
        "specification", "Task, protocol, budget, evaluations and seed of every run are those of its cell.", "claimed"
    ),
    Check("one method", "All runs have one algorithm, one source and one set of hyperparameters.", "claimed"),
    Check("result", "result.json and environment.json are whole, and of a run that completed or diverged.", "claimed"),
    Check("tables", "Tables are plain Arrow with exactly the columns of docs/records.md, and well formed.", "claimed"),
    Check("policy", "Policies have the names, shapes and types of the benchmark's network, and are finite.", "claimed"),
    Check("content hash", "Tables have the values, the rows and the summary that the run recorded.", "claimed"),
    Check("staleness draws", "The versions that actors held are those that the run's seed draws.", "claimed"),
    Check("updates", "No phase made more updates than the protocol allows.", "claimed"),
    Check("evaluation plan", "Evaluations are where they were planned, from the suite's seeds.", "claimed"),
    Check("numbers", "No return or measurement is missing or infinite, but in a diverged run's last phase.", "claimed"),
    Check("final episodes", "The final evaluation's episodes are those of the evaluations.", "rescored"),
    Check("returns", "Returns follow from the episodes; lengths and ends are possible.", "rescored"),
)
"""In the order in which they are made: what is wrong by one may have those after it skipped."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a submission.

    Attributes:
        check: the name of the check that found it.
        file: the file, as from the submission's directory; ``.`` is the directory itself.
        row: the row of a table, from 0; None where it is no matter of one row.
        message: what is wrong, in a sentence.
    """

    check: str
    file: str
    row: int | None
    message: str

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file}, row {self.row}"
        return f"{self.check}: {where}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return dict(vars(self))


class Findings:
    """What the checks have found so far: the first ``limits.PROBLEMS`` of each, for nobody reads more."""

    def __init__(self) -> None:
        self._found: dict[str, list[Problem]] = {check.name: [] for check in CHECKS}
        self.skipped: set[str] = set()
        """Checks that could not be made, of some part at least."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """In the order of the checks, then as they were found."""
        return tuple(problem for found in self._found.values() for problem in found)

    def add(self, problem: Problem) -> None:
        """Note a problem."""
        found = self._found[problem.check]
        if len(found) < limits.PROBLEMS:
            found.append(problem)
        elif len(found) == limits.PROBLEMS:
            found.append(Problem(problem.check, ".", None, "there is more of this; no more is listed"))

    def take(self, check: str, file: str, problems: Iterable[Problem]) -> bool:
        """Note what a check of a file finds; whether that is nothing. That it cannot be checked is a problem too."""
        none = True
        try:
            for problem in problems:
                none = False
                self.add(problem)
                if len(self._found[check]) > limits.PROBLEMS:
                    break
        except Exception as error:
            none = False
            self.fail(check, file, error)
        return none

    def fail(self, check: str, file: str, error: Exception) -> None:
        """Note that a check could not make anything of a file: whatever a stranger's file does to it."""
        why = shown(error) if isinstance(error, LagbenchError) else f"{type(error).__name__}: {shown(error)}"
        self.add(Problem(check, file, None, f"it cannot be checked ({why})"))

    def skip_after(self, check: str) -> None:
        """Note that what comes after a check could not be made, of some part at least."""
        names = [one.name for one in CHECKS]
        self.skipped.update(names[names.index(check) + 1 :])
