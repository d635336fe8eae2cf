"""Every difference of a run from its specification, not only the first."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import lagbench
from lagbench.records import consistency
from lagbench.records.findings import Difference
from lagbench.spec import EvaluationPlan
from tests.records.forge import Columns, change_table, copied

PHASES = 16


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> lagbench.Run:
    cell: Any = {"suite": "TESTING", "task": "Hopper-v5", "lag": 2, "algo": "ppo", "record": "episodes"}
    return lagbench.run(out=tmp_path_factory.mktemp("consistency") / "run", **cell)


def rows(found: list[Difference]) -> list[tuple[int | None, str]]:
    return [(one.row, one.column) for one in found]


def test_an_honest_run_has_none(run: lagbench.Run) -> None:
    assert list(consistency.wrong_hashes(run)) == []
    assert list(consistency.wrong_draws(run)) == []
    assert list(consistency.wrong_evaluations(run, PHASES)) == []


def test_all_hashes(run: lagbench.Run, tmp_path: Path) -> None:
    path = copied(run.path, tmp_path)
    assert run.result is not None

    def change(columns: Columns) -> None:
        columns["length"][0] += 1

    for table in ("episodes", "evaluations"):
        change_table(path, table, change)
    changed = lagbench.open(path)
    changed.result = run.result
    assert [(one.table, one.by) for one in consistency.wrong_hashes(changed)] == [
        ("episodes", "recomputed"),
        ("evaluations", "recomputed"),
    ]


def test_all_draws(run: lagbench.Run, tmp_path: Path) -> None:
    path = copied(run.path, tmp_path)

    def change(columns: Columns) -> None:
        columns["versions"][5][1] += 1
        columns["versions"][5][7] += 1
        columns["versions"][9].pop()
        columns["budget_used"][9] += 1
        columns["phase"][11] = 12

    change_table(path, "phases", change)
    found = list(consistency.wrong_draws(lagbench.open(path)))
    assert rows(found) == [
        (5, "versions[1]"), (5, "versions[7]"), (9, "budget_used"), (9, "versions[7]"), (11, "phase"),
    ]  # fmt: skip
    assert str(found[-1]) == "phases, phase 11: phase is 12, specified 11"
    assert found[-1].to_json()["row"] == 11


def test_phases_that_are_missing_or_too_many(run: lagbench.Run, tmp_path: Path) -> None:
    path = copied(run.path, tmp_path)

    def cut(columns: Columns) -> None:
        for values in columns.values():
            del values[PHASES - 2 :]

    def grown(columns: Columns) -> None:
        for values in columns.values():
            values.extend([values[-1]] * 4)

    change_table(path, "phases", cut)
    missing = list(consistency.wrong_draws(lagbench.open(path)))
    assert [(one.row, one.recorded) for one in missing] == [(14, "missing"), (15, "missing")]
    change_table(path, "phases", grown)
    assert [(one.row, one.column, one.recorded) for one in consistency.wrong_draws(lagbench.open(path))][-2:] == [
        (16, "row", "recorded"),
        (17, "row", "recorded"),
    ]


def test_all_evaluations(run: lagbench.Run, tmp_path: Path) -> None:
    path = copied(run.path, tmp_path)

    def change(columns: Columns) -> None:
        columns["seed"][0] += 1
        columns["fractions"][3] = [0.75]
        columns["mode"][5] = "mode"
        for values in columns.values():
            values.pop()

    change_table(path, "evaluations", change)
    found = list(consistency.wrong_evaluations(lagbench.open(path), PHASES))
    assert rows(found) == [(0, "seed"), (3, "fractions"), (5, "mode"), (14, "row")]
    assert str(found[-1]).endswith("row is missing, specified recorded")


def test_a_plan_of_version_0_samples_in_its_last_evaluation_alone(run: lagbench.Run) -> None:
    """The evaluation plan of a run that was made before sampled actions were scored."""
    former = dataclasses.replace(run.spec, evaluation=EvaluationPlan(2, 2))
    planned = consistency._planned(lagbench.Run(Path("run"), former, {"status": "completed"}), PHASES)
    assert [(row["evaluation"], row["mode"], row["episode"]) for row in planned] == [
        (0, "mode", 0), (0, "mode", 1), (1, "mode", 0), (1, "mode", 1),
        (2, "mode", 0), (2, "mode", 1), (2, "stochastic", 0), (2, "stochastic", 1),
    ]  # fmt: skip
