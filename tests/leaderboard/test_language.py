"""A submission on language: nothing here knows that it is one, and completions are graded again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from lagbench import plan_grid, suites
from lagbench.leaderboard import manifest, submit, validate
from lagbench.leaderboard.findings import CHECKS
from lagbench.leaderboard.former import Statement, Submission
from lagbench.runner import execute
from lagbench.suites import Suite
from tests.leaderboard.submitted import change_final, hash_again
from tests.records.forge import Columns, change_table

TINY = Suite(
    "TINY",
    "Two lags of a few completions.",
    MappingProxyType(
        {
            "tasks": ["GSM8kMini-v0"],
            "seeds": 1,
            "budget": 32,
            "task_options": {"max_new_tokens": 40},
            "protocol": {
                "lag": [0, 1],
                "lag_mode": "uniform",
                "updates": 1,
                "updates_fixed": True,
                "forward": "split",
                "minibatch": 16,
            },
            "evaluation": {"episodes": 4, "intervals": 2},
        }
    ),
)
PLACE = "runs/GSM8kMini-v0/lag1-u1-seed0"


@pytest.fixture(scope="module", autouse=True)
def _suite() -> Iterator[None]:
    load, names = suites.load, suites.names
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suites, "load", lambda name: TINY if name == "TINY" else load(name))
        for module in (submit, validate, manifest):
            patch.setattr(module, "load_suite", suites.load)
        patch.setattr(manifest, "suite_names", lambda: [*names(), "TINY"])
        yield


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory, _suite: None) -> Submission:
    path = tmp_path_factory.mktemp("language")
    for cell in plan_grid(path / "runs", algo=["ppo"], suite="TINY", record="episodes"):
        execute(cell.spec, cell.path, threads=1)
    words = submit.Words("Mine", ("A. Body",), "https://example.org", "MIT", Statement("none", "none"))
    return submit.submit(submit.choose([path / "runs"]), words, path / "mine")


@pytest.mark.slow
def test_it_is_valid(language: Submission) -> None:
    found = validate.validate(language.path)
    assert found.problems == ()
    assert set(found.outcomes.values()) == {"ok"}
    assert language.bytes < 10e6
    episodes = language.runs()[1].final_episodes()
    assert [e.prompt_id for e in episodes] == [0, 1, 2, 3]
    assert all(len(e.token) == e.length for e in episodes)


def put(name: str, row: int, value: Any) -> Callable[[Columns], Any]:
    def change(columns: Columns) -> None:
        columns[name][row] = value

    return change


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "column", "value", "message"),
    [
        ("returns", "return", 1.0, "return is 1.0, graded 0.0"),
        ("returns", "strict", "5", "graded"),
        ("returns", "completion", "#### 5", "graded"),
        ("returns", "target", "7", "in the test set"),
        ("returns", "question", "What is 1 + 1?", "in the test set"),
        ("returns", "prompt_id", 3, "in the test set"),
        ("final episodes", "question", "<script>", "in evaluations"),
        ("tables", "completion", None, "completion has a null"),
    ],
)
def test_an_answer_is_held_to_its_question(
    language: Submission, tmp_path: Path, check: str, column: str, value: Any, message: str
) -> None:
    path = tmp_path / "mine"
    shutil.copytree(language.path, path)
    change_final(path / PLACE, put(column, 0, value))
    if check == "returns":
        rows = [i for i, e in enumerate(_evaluations(path)) if e.version == 2 and e.mode == "mode"]
        change_table(path / PLACE, "evaluations", put(column, rows[0], value))
    hash_again(path)
    found = validate.validate(path)
    assert [p for p in found.problems if p.check == check and p.row == 0 and message in p.message], found.problems
    assert {p.check for p in found.problems} <= {one.name for one in CHECKS}


def _evaluations(path: Path) -> list[Any]:
    from lagbench import open as open_run

    return list(open_run(path / PLACE).evaluation_episodes())
