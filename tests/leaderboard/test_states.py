"""A state is what was found, and nothing that anybody says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from lagbench.leaderboard import states
from lagbench.leaderboard.agreement import Sample
from lagbench.leaderboard.findings import CHECKS, Problem
from lagbench.leaderboard.former import Submission
from lagbench.leaderboard.reproduction import Cell, Reproduction
from lagbench.leaderboard.validate import Validation, validate
from lagbench.leaderboard.verification import Check, Verification, claimed
from lagbench.leaderboard.verify import verify


@pytest.fixture(scope="module")
def valid(whole: Submission) -> Validation:
    return validate(whole.path)


@pytest.fixture(scope="module")
def report(whole: Submission) -> Verification:
    return verify(whole, episodes=3, nonce="5a" * 32)


@pytest.fixture(scope="module")
def reproduced(whole: Submission) -> Reproduction:
    return Reproduction(whole.sha256, "A. Maintainer", "2026-01-31", tuple(cells(whole, 3)))


def cells(whole: Submission, n: int) -> list[Cell]:
    """The first cells, as they came out."""
    found = []
    for one in whole.runs()[:n]:
        spec = one.run.spec
        found.append(Cell(spec.task, spec.protocol.lag, spec.protocol.updates, spec.seed, claimed(one)))
    return found


def state_of(*found: Any) -> states.State:
    state = states.state(*found)
    assert state is not None
    return state


def test_each_stands_on_those_before(valid: Validation, report: Verification, reproduced: Reproduction) -> None:
    assert valid.passed
    found = [state_of(valid), state_of(valid, report), state_of(valid, report, reproduced)]
    assert [one.name for one in found] == ["rescored", "re-evaluated", "reproduced"]
    assert [one.missing for one in found] == ["there is no report on it", "nobody has run its code", ""]
    # A reproduction of what was not re-evaluated counts for nothing.
    alone = state_of(valid, None, reproduced)
    assert (alone.level, alone.notes) == (states.RESCORED, ())
    last = found[-1]
    assert all(last.reaches(level) for level in states.LEVELS)
    assert not alone.reaches(states.REPLAYED)
    assert [level.name for level in states.LEVELS] == ["claimed", "rescored", "replayed", "re-evaluated", "reproduced"]
    assert last.notes[-1].startswith("reproduced by A. Maintainer on 2026-01-31: Hopper-v5, lag 0, 8 updates, seed 0; ")
    assert last.to_json()["name"] == "reproduced"


def test_what_a_submission_must_pass(valid: Validation) -> None:
    for check in CHECKS:
        wrong = dataclasses.replace(valid, problems=(Problem(check.name, ".", None, "it is wrong"),))
        found = states.state(wrong)
        assert (found and found.name) == {"claimed": None, "rescored": "claimed"}[check.state]
        if found is not None:
            assert found.missing == f"it did not pass {check.name}"
    assert state_of(dataclasses.replace(valid, skipped=frozenset({"returns"}))).level is states.CLAIMED


def outcome(name: str, outcome: str, run: int = 0) -> Callable[[Verification], Verification]:
    def change(report: Verification) -> Verification:
        own = [i for i, check in enumerate(report.checks) if check.name == name][run]
        checks = list(report.checks)
        checks[own] = Check(checks[own].run, name, outcome, "so it is")  # type: ignore[arg-type]
        return dataclasses.replace(report, checks=tuple(checks))

    return change


@pytest.mark.parametrize(
    ("change", "state", "missing"),
    [
        (lambda r: dataclasses.replace(r, submission="0" * 64), "rescored", "there is no report on it"),
        (outcome("evaluation episodes", "failed"), "rescored", "evaluation episodes: so it is"),
        (outcome("content hash", "failed", run=5), "rescored", "content hash: so it is"),
        (outcome("policy", "failed"), "rescored", "policy: so it is"),
        (outcome("policy", "skipped", run=7), "rescored", "policy: so it is"),
        (outcome("re-evaluation", "failed"), "replayed", "re-evaluation: so it is"),
        (outcome("re-evaluation", "skipped"), "replayed", "re-evaluation: so it is"),
        (lambda r: dataclasses.replace(r, checks=r.checks[:-8]), "rescored", "policy: not made"),
    ],
)
def test_what_a_report_must_say(
    change: Callable[[Verification], Verification], state: str, missing: str, valid: Validation, report: Verification
) -> None:
    found = state_of(valid, change(report))
    assert found.name == state
    assert found.missing.endswith(missing)


def test_a_run_that_diverged_need_not_be_played(valid: Validation, report: Verification) -> None:
    diverged = report.checks[0].run
    rows = valid.table.to_pylist(maps_as_pydicts=None)  # type: ignore[union-attr]
    for row in rows:
        if row["path"] == diverged:
            row["status"] = "diverged"
    table = type(valid.table).from_pylist(rows, valid.table.schema)  # type: ignore[union-attr]
    without = outcome("re-evaluation", "skipped")(outcome("policy", "skipped")(report))
    assert state_of(valid, without).name == "rescored"
    assert state_of(dataclasses.replace(valid, table=table), without).name == "re-evaluated"


def test_notes(valid: Validation, report: Verification) -> None:
    found = state_of(valid, dataclasses.replace(report, sample=1, exact=False))
    sampled, tolerant, *_ = found.notes
    assert sampled == "of each final evaluation 1 episodes were replayed, drawn when the submission was fixed"
    assert tolerant.endswith("held to its rewards in their first 25 steps only, to within 0.001")
    far = tuple(dataclasses.replace(one, claimed=Sample(1e6, 1.0, 2)) for one in report.reevaluated)
    flagged = state_of(valid, dataclasses.replace(report, reevaluated=far))
    assert flagged.name == "re-evaluated"
    assert flagged.notes[0].startswith(
        "the claimed mean of 8 of 8 runs is more than 3 standard errors from the one on "
    )


def moved(cell: Cell, by: float) -> Cell:
    """By so many standard errors."""
    std = cell.found.std or 0.0
    error = (2 * std * std / cell.found.episodes) ** 0.5
    return dataclasses.replace(cell, found=dataclasses.replace(cell.found, mean=cell.found.mean + by * error))


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda own: [moved(cell, 2.9) for cell in own], ""),
        (lambda own: [moved(cell, -2.9) for cell in own], ""),
        (lambda own: own[:2], "the reproduction takes 3 cells or more, each once"),
        (lambda own: [own[0], own[1], own[1]], "the reproduction takes 3 cells or more, each once"),
        (lambda own: [*own, own[0]], "the reproduction takes 3 cells or more, each once"),
        (
            lambda own: [*own[:2], dataclasses.replace(own[2], seed=9)],
            "the submission has no completed run of Hopper-v5, lag 2, 8 updates, seed 9",
        ),
        (lambda own: [*own[:3], moved(own[3], 3.1)], "is claimed, more than 3 standard errors apart"),
    ],
)
def test_what_a_reproduction_must_say(
    change: Callable[[list[Cell]], list[Cell]],
    missing: str,
    whole: Submission,
    valid: Validation,
    report: Verification,
    reproduced: Reproduction,
) -> None:
    own = [cell for cell in cells(whole, 8) if cell.task == "Hopper-v5"]
    found = state_of(valid, report, dataclasses.replace(reproduced, cells=tuple(change(own))))
    assert found.name == ("re-evaluated" if missing else "reproduced")
    assert found.missing.endswith(missing)
    other = dataclasses.replace(reproduced, submission="0" * 64)
    assert state_of(valid, report, other).missing == "the reproduction is of another submission"
