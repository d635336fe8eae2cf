"""What somebody found who ran a submission's code: the one part of its state that is told, by whom and when.

It lies in ``reproductions/<suite>/<slug>.json`` beside ``submissions/<suite>/<slug>``, written by hand.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lagbench import LagbenchError
from lagbench.leaderboard import agreement, fields, strict_json
from lagbench.leaderboard.agreement import Sample
from lagbench.leaderboard.former import Submission, SubmittedRun
from lagbench.leaderboard.verification import claimed

FORMAT_VERSION = 1
LEAST = 3
"""Cells that it takes."""


@dataclass(frozen=True)
class Cell:
    """A cell that was run again: which, and the returns of its final evaluation."""

    task: str
    lag: int
    updates: int
    seed: int
    found: Sample

    @property
    def key(self) -> tuple[str, int, int, int]:
        """What tells it from the others."""
        return self.task, self.lag, self.updates, self.seed

    def __str__(self) -> str:
        return f"{self.task}, lag {self.lag}, {self.updates} updates, seed {self.seed}"

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        cell = {name: value for name, value in vars(self).items() if name != "found"}
        return {**cell, **self.found.to_json()}

    @classmethod
    def from_json(cls, data: Any, what: str) -> Self:
        """The inverse. Raises LagbenchError."""
        cell = {"task": fields.text, **dict.fromkeys(("lag", "updates", "seed"), fields.whole)}
        found = {"mean": fields.number, "std": fields.optional(fields.number), "episodes": fields.count}
        given = fields.fields(data, what, {**cell, **found})
        return cls(found=Sample(**{name: given.pop(name) for name in found}), **given)


@dataclass(frozen=True)
class Reproduction:
    """A reproduction.

    Attributes:
        submission: the SHA-256 of the one whose code was run.
        who: ran it.
        when: a day, as 2026-01-31.
        cells: drawn at random, run with the submission's code.
    """

    submission: str
    who: str
    when: str
    cells: tuple[Cell, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {"format_version": FORMAT_VERSION, **vars(self), "cells": [cell.to_json() for cell in self.cells]}

    @classmethod
    def from_json(cls, data: Any, what: str = "the reproduction") -> Self:
        """The inverse. Raises LagbenchError."""
        kinds = {"format_version": fields.whole, "who": fields.text, "when": fields.text, "cells": fields.listing}
        given = fields.fields(data, what, {"submission": fields.text, **kinds})
        if (version := given.pop("format_version")) != FORMAT_VERSION:
            raise LagbenchError(f"{what} has format {version}; this lagbench reads {FORMAT_VERSION}")
        given["cells"] = tuple(Cell.from_json(one, f"{what}, cell {i}") for i, one in enumerate(given["cells"]))
        try:
            datetime.date.fromisoformat(given["when"])
        except ValueError:
            raise LagbenchError(
                f"{what}: 'when' must be a day such as 2026-01-31, not {fields.shown(given['when'])}"
            ) from None
        if not given["who"].strip():
            raise LagbenchError(f"{what}: 'who' must say who ran the code")
        return cls(**given)

    def lacks(self, submission: Submission) -> str:
        """Why this does not reproduce the submission, as a clause; empty where it does.

        It takes three different cells of the submission or more, and all that were run must agree: of many, the three
        that came out best would show nothing. Agreeing is as for a claimed mean: no more than three standard errors
        apart. A run that diverged is reproduced by nothing that can be written here. Raises LagbenchError where a run
        of the submission's cannot be read.
        """
        if self.submission != submission.sha256:
            return "the reproduction is of another submission"
        if len({cell.key for cell in self.cells}) < max(LEAST, len(self.cells)):
            return f"the reproduction takes {LEAST} cells or more, each once"
        completed = {_key(one): one for one in submission.runs() if one.run.status == "completed"}
        for cell in self.cells:
            if cell.key not in completed:
                return f"the submission has no completed run of {cell}"
            theirs = claimed(completed[cell.key])
            if not agreement.agree(theirs, cell.found):
                return (
                    f"{cell} came out at {cell.found.mean:.6g} where {theirs.mean:.6g} is claimed, more than "
                    f"{agreement.LIMIT:g} standard errors apart"
                )
        return ""


def _key(submitted: SubmittedRun) -> tuple[str, int, int, int]:
    spec = submitted.run.spec
    return spec.task, spec.protocol.lag, spec.protocol.updates, spec.seed


def file_of(path: Path) -> Path:
    """Where the reproduction of the submission in a directory belongs."""
    path = path.resolve()
    return path.parents[1].with_name("reproductions") / path.parent.name / f"{path.name}.json"


def read(file: Path) -> Reproduction:
    """The reproduction in a file. Raises LagbenchError."""
    return Reproduction.from_json(strict_json.parse(strict_json.read_bytes(file), str(file)), str(file))
