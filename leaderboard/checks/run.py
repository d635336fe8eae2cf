"""One run of a submission, checked as far as it can be: a check that needs what was found wrong is not made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lagbench import RunSpec, Suite, records
from lagbench import open as open_run
from lagbench.leaderboard import layout, limits, strict_json
from lagbench.leaderboard.checks import documents, episodes, files, plans, policies, runs, tables, values
from lagbench.leaderboard.findings import Findings, Problem
from lagbench.leaderboard.former import Submission


def examine(
    root: Path,
    there: Mapping[str, int],
    submission: Submission,
    suite: Suite,
    place: layout.Place,
    findings: Findings,
) -> RunSpec | None:
    """Check the run of a cell; its specification, where that can be read.

    Args:
        root: the submission's directory.
        there: its files that may be read.
        submission: what its manifest says.
        suite: its suite.
        place: the cell.
        findings: where problems go.
    """
    examination = _Examination(root, there, submission, suite, place, findings)
    try:
        stopped = examination.stopped()
    except Exception as error:
        findings.fail("tables", place.name, error)
        stopped = "specification"
    if stopped:
        findings.skip_after(stopped)
    return examination.spec


class _Examination:
    def __init__(
        self,
        root: Path,
        there: Mapping[str, int],
        submission: Submission,
        suite: Suite,
        place: layout.Place,
        findings: Findings,
    ) -> None:
        self._root = root
        self._there = there
        self._submission = submission
        self._suite = suite
        self._place = place
        self._findings = findings
        self.spec: RunSpec | None = None

    def stopped(self) -> str | None:
        """Make the checks; the one after which no more could be made, None where all were."""
        documents_ = {name: self._json(name) for name in layout.JSON}
        spec = self.spec = self._specification(documents_[layout.SPEC])
        if spec is None:
            return "specification"
        self._take("one method", layout.SPEC, runs.method(spec, self._submission, self._file(layout.SPEC)))
        result = documents_[layout.RESULT]
        if not self._documents(spec, result, documents_[layout.ENVIRONMENT]):
            return "result"
        wanted = layout.wanted(spec, result)
        whole = self._take("files", "", files.of_run(self._there, self._place.name, wanted))
        found: dict[str, Any] = {}
        for name, file in {**layout.tables(spec), records.final.TABLE: layout.FINAL}.items():
            if file in wanted and self._file(file) in self._there:
                whole &= self._table(name, file, spec, found)
        diverged = result["status"] == "diverged"
        if layout.POLICY in wanted and (file := self._file(layout.POLICY)) in self._there:
            self._take("policy", layout.POLICY, policies.check(self._root / file, file, spec, finite=not diverged))
        if not whole:
            return "policy"
        self._rows(found, diverged)
        return None

    def _specification(self, data: Any) -> RunSpec | None:
        read: list[RunSpec] = []

        def check() -> Iterator[Problem]:
            # Compared before anything is made of it: what is the suite's cannot be too much to build.
            wrong = list(runs.specification(data, self._place, self._suite, self._file(layout.SPEC)))
            yield from wrong
            if not wrong:
                spec = RunSpec.from_json(data)
                self._suite.check(spec)
                read.append(spec)

        if data is not None:
            self._take("specification", layout.SPEC, check())
        return read[0] if read else None

    def _documents(self, spec: RunSpec, result: Any, environment: Any) -> bool:
        if result is None or environment is None:
            return False
        policy = self._submission.files.get(self._file(layout.POLICY))
        own = self._file(layout.ENVIRONMENT)
        whole = self._take("result", layout.RESULT, documents.result(result, spec, policy, self._file(layout.RESULT)))
        return self._take("result", layout.ENVIRONMENT, documents.environment(environment, own)) and whole

    def _table(self, name: str, file: str, spec: RunSpec, found: dict[str, Any]) -> bool:
        listed = self._submission.files.get(path := self._file(file))
        rows = None if listed is None else listed.rows
        return self._take("tables", file, tables.check(self._root / path, path, name, spec, rows, found))

    def _rows(self, found: dict[str, Any], diverged: bool) -> None:
        run, place = open_run(self._root / self._place.name), self._place.name
        evaluations, phases = found["evaluations"], found["phases"]
        self._take("content hash", "", documents.tables(run, found, place))
        self._take("staleness draws", "", plans.draws(run, place))
        self._take("updates", "", plans.updates(run, phases, place))
        self._take("evaluation plan", "", plans.evaluations(run, place, len(phases)))
        self._take("numbers", "", values.check(found, place, diverged=diverged))
        self._take("returns", "", episodes.ends(run, evaluations, place))
        if not diverged:
            self._take("final episodes", "", episodes.final(run, found, place))
            self._take("returns", "", episodes.returns(run, found, place))

    def _json(self, name: str) -> Any:
        """A JSON file, None where there is none that can be read."""
        file = self._file(name)
        if file not in self._there:
            self._findings.add(Problem("files", file, None, "it is missing"))
            return None
        try:
            return strict_json.parse(strict_json.read_bytes(self._root / file, limits.JSON_BYTES), "it")
        except strict_json.JsonError as error:
            self._findings.add(Problem("json", file, None, str(error)))
            return None

    def _file(self, name: str) -> str:
        return f"{self._place.name}/{name}" if name else self._place.name

    def _take(self, check: str, name: str, problems: Iterable[Problem]) -> bool:
        return self._findings.take(check, self._file(name), problems)
