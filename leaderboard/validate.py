"""``validate``: everything that can be said of a submission without running anything of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lagbench import load_suite, scoring
from lagbench.leaderboard import layout, manifest, strict_json
from lagbench.leaderboard.checks import files, hashes, runs
from lagbench.leaderboard.checks.run import examine
from lagbench.leaderboard.findings import CHECKS, Findings, Problem
from lagbench.leaderboard.former import Submission, of
from lagbench.leaderboard.published import replace

Outcome = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        path: the directory.
        submission: what its manifest says; None where that cannot be read.
        problems: in the order of the checks, then of files and rows; empty where all is well.
        skipped: the names of checks that could not be made, for what an earlier one found.
        table: its runs as scoring takes them (``lagbench.scoring.table``), ``algorithm`` without any path, and ``path``
            that of the run within the submission; the final returns are those that follow from final.arrow. None unless
            all is well.
    """

    path: Path
    submission: Submission | None
    problems: tuple[Problem, ...]
    skipped: frozenset[str]
    table: Any | None

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """Of every check, by name."""
        failed = Counter(problem.check for problem in self.problems)
        return {
            check.name: "failed" if failed[check.name] else "skipped" if check.name in self.skipped else "ok"
            for check in CHECKS
        }

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dictionary."""
        return {
            "path": str(self.path),
            "valid": self.passed,
            "submission": self.submission and self.submission.sha256,
            "checks": self.outcomes,
            "problems": [problem.to_json() for problem in self.problems],
        }


def validate(path: Path) -> Validation:
    """Check the submission in a directory. Nothing is written; whatever the files hold, no exception comes of it."""
    findings = Findings()
    submission, table = None, None
    try:
        # What a stranger's numbers come to may be infinite: that is found, and nothing to warn of.
        with np.errstate(over="ignore", invalid="ignore"):
            submission = _examined(path, findings)
            if submission is not None and not findings.problems:
                table = _table(submission)
    except Exception as error:
        findings.fail("files", ".", error)
        findings.skip_after("files")
    return Validation(path, submission, findings.problems, frozenset(findings.skipped), table)


def _examined(path: Path, findings: Findings) -> Submission | None:
    """Make all checks; the submission, where its manifest can be read."""
    there = _listed(path, findings)
    if there is None:
        findings.skip_after("files")
        return None
    submission = _manifest(path, there, findings)
    if submission is None:
        findings.skip_after("manifest")
        return None
    suite = load_suite(submission.suite.name)
    places = {place.name: place for place in layout.places(suite)}
    findings.take("files", ".", files.names(there, places))
    findings.take("hashes", ".", hashes.check(path, there, submission.files))
    findings.take("grid", ".", runs.grid(suite, places, there, submission.files))
    findings.take("source", manifest.SOURCE, runs.source(path, there, submission))
    specs = {}
    for place in places.values():
        if any(file.startswith(f"{place.name}/") for file in there):
            spec = examine(path, there, submission, suite, place, findings)
            if spec is not None:
                specs[f"{place.name}/{layout.SPEC}"] = spec
    findings.take("one method", ".", runs.versions(specs))
    return submission


def _listed(path: Path, findings: Findings) -> dict[str, int] | None:
    """The files that may be read, and their bytes; None where none may."""
    if not findings.take("files", ".", files.root(path)):
        return None
    there, problems = files.listed(path)
    findings.take("files", ".", problems)
    return there


def _manifest(path: Path, there: Mapping[str, int], findings: Findings) -> Submission | None:
    if manifest.FILE not in there:
        findings.add(Problem("files", manifest.FILE, None, "it is missing"))
        return None
    try:
        content = strict_json.read_bytes(path / manifest.FILE)
        data = strict_json.parse(content, "it")
    except strict_json.JsonError as error:
        findings.add(Problem("json", manifest.FILE, None, str(error)))
        return None
    faults = (Problem("manifest", manifest.FILE, None, fault) for fault in manifest.faults(data, content))
    return of(path, content, data) if findings.take("manifest", manifest.FILE, faults) else None


def _table(submission: Submission) -> Any:
    """The runs as scoring takes them."""
    table = scoring.table.collect([submission.path / manifest.RUNS])
    names = [Path(path).relative_to(submission.path).as_posix() for path in table["path"].to_pylist()]
    table = replace(table, "path", names)
    return replace(table, "algorithm", [submission.algorithm.name] * len(table))
