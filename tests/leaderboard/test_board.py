"""From files to the board: who is ranked, by what, and what no forgery moves."""

from __future__ import annotations

import itertools
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lagbench import LagbenchError, UsageError, load_suite
from lagbench.leaderboard import board, methods, published, validate
from lagbench.leaderboard.board import Board, Row
from lagbench.leaderboard.site import figures
from tests.leaderboard import made

SUITE = "mujoco-mini-v1"
BASELINES = {"vaco": 90.0, "ppo": 70.0, "spo": 50.0, "geppo": 30.0}
SEEDS = itertools.count(100)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, referenced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four baselines that are told apart, and nothing submitted; what validation would refuse gets through."""
    monkeypatch.setattr(validate, "validate", lambda path: validate.Validation(path, "", ()))
    monkeypatch.setattr(sys.modules[__name__], "SEEDS", itertools.count(100))
    monkeypatch.setattr(published, "DIRECTORY", published_at(tmp_path, BASELINES))
    (tmp_path / "submissions").mkdir()


def published_at(root: Path, heights: Mapping[str, float]) -> Path:
    rows = {name: made.runs(height, suite=SUITE, seed=i) for i, (name, height) in enumerate(heights.items())}
    return made.publish(root, rows, SUITE)


def board_at(root: Path) -> Board:
    suite = load_suite(SUITE)
    return board.board(suite, methods.find(suite, root / "submissions"), replications=50)


def rows_of(found: Board) -> dict[str, Row]:
    return {row.method.key: row for row in found.rows}


def ranks(found: Board) -> dict[str, int | None]:
    return {row.method.key: row.rank for row in found.rows}


def of_baselines(found: Board) -> dict[str, int | None]:
    return {key: rank for key, rank in ranks(found).items() if key.endswith(".baseline")}


ALONE = {"vaco.baseline": 1, "ppo.baseline": 2, "spo.baseline": 3, "geppo.baseline": 4}


def trained(root: Path, slug: str, height: float, *, claimed: float | None = None, **words: Any) -> None:
    """A submission that a maintainer trained; it is claimed to be as good, on other seeds."""
    claim = made.runs(height if claimed is None else claimed, suite=SUITE, seed=next(SEEDS))
    submission = made.submit(root, slug, claim, suite=SUITE, **words)
    made.train(submission, made.runs(height, suite=SUITE, seed=next(SEEDS)))


def test_what_was_trained_again_is_ranked_with_the_baselines(tmp_path: Path) -> None:
    trained(tmp_path, "mine", 80.0)
    found = board_at(tmp_path)
    assert [row.method.key for row in found.ranked] == [
        *("vaco.baseline", "mine", "ppo.baseline", "spo.baseline", "geppo.baseline")
    ]
    assert [row.rank for row in found.ranked] == [1, 2, 3, 4, 5]
    mine = rows_of(found)["mine"]
    assert mine.line.lag_score is not None
    assert mine.line.lag_score.value == pytest.approx(0.8, abs=0.05)
    # Its numbers are those that rank.
    (line,) = [line for line in found.results.lines if line.label == "mine (submitted)"] if found.results else []
    assert line.lag_score == mine.line.lag_score
    assert mine.agreement is not None
    assert not mine.agreement.apart
    assert mine.tv.keys() == {0, 8, 32}
    assert not mine.without_lag


@pytest.mark.parametrize("height", [200.0, 1e99])
def test_a_claim_outranks_nobody(tmp_path: Path, height: float) -> None:
    """And moves nothing: neither numbers nor the chart."""
    before = board_at(tmp_path)
    made.submit(tmp_path, "great", made.runs(height, suite=SUITE), suite=SUITE)
    after = board_at(tmp_path)
    assert [row.method.key for row in after.claims] == ["great"]
    assert after.claims[0].rank is None
    assert (after.ranked, after.results) != ((), None)
    assert [row.to_json() for row in after.ranked] == [row.to_json() for row in before.ranked]
    assert after.results == before.results
    charts = [figures.of_board(one) for one in (before, after)]
    assert charts[0] is not None
    assert charts[1] is not None
    assert charts[0].files == charts[1].files
    line = after.claims[0].line
    assert line.lag_score is not None
    assert line.lag_score.value == pytest.approx(height / 100, rel=0.1)


def test_a_claim_that_its_rerun_does_not_bear_out_says_so(tmp_path: Path) -> None:
    trained(tmp_path, "mine", 60.0, claimed=90.0)
    mine = rows_of(board_at(tmp_path))["mine"]
    assert mine.agreement is not None
    assert mine.agreement.apart
    assert mine.line.lag_score is not None
    assert mine.line.lag_score.value == pytest.approx(0.6, abs=0.05)


def test_thirty_clones_push_nobody_down(tmp_path: Path) -> None:
    """Thirty names of what would be second: one rank, and all others as with one of them."""
    trained(tmp_path, "a", 80.0, source={"a.py": made.CODE})
    one = board_at(tmp_path)
    for i in range(30):
        source = {f"clone{i}.py": made.CODE.replace("Mine", f"Clone{i}").replace("by hand", f"by hand {i}")}
        # Every third with another setting, that makes no difference.
        config = {"learning_rate": 0.001 + (1e-7 * i if i % 3 == 0 else 0.0), "updates": None}
        trained(tmp_path, f"clone{i}", 80.0, source=source, config=config)
    found = board_at(tmp_path)
    assert of_baselines(found) == of_baselines(one)
    assert of_baselines(found) == {"vaco.baseline": 1, "ppo.baseline": 3, "spo.baseline": 4, "geppo.baseline": 5}
    clones = [row for row in found.ranked if row.method.key.startswith("clone")]
    assert len(clones) == 30
    assert {(row.rank, row.head) for row in clones} == {(2, "a")}
    assert found.results == one.results


def test_the_first_of_several_names_counts_and_not_the_best(tmp_path: Path) -> None:
    for slug, height, date in (("b", 60.0, "2026-01-02"), ("a", 85.0, "2026-01-03"), ("c", 60.0, "2026-01-01")):
        submission = made.submit(
            tmp_path, slug, made.runs(1.0, suite=SUITE, seed=next(SEEDS)), suite=SUITE, source={"x.py": made.CODE}
        )
        made.train(submission, made.runs(height, suite=SUITE, seed=next(SEEDS)), date=date)
    found = rows_of(board_at(tmp_path))
    assert {row.head for key, row in found.items() if not row.method.is_baseline} == {"c"}
    assert found["a"].rank == found["c"].rank == 3


def test_settings_that_make_a_difference_make_another_method(tmp_path: Path) -> None:
    trained(tmp_path, "a", 20.0, source={"x.py": made.CODE}, config={"learning_rate": 0.1})
    trained(tmp_path, "b", 80.0, source={"x.py": made.CODE}, config={"learning_rate": 0.2})
    found = rows_of(board_at(tmp_path))
    assert (found["a"].head, found["a"].rank) == ("a", 6)
    assert (found["b"].head, found["b"].rank) == ("b", 2)


@pytest.mark.parametrize(("height", "head", "rank"), [(71.0, "ppo.baseline", 2), (99.0, "mine", 1)])
def test_who_hands_in_a_baselines_results(tmp_path: Path, height: float, head: str, rank: int) -> None:
    """The claim is, to the last digit, what PPO came to: another name of it, unless its rerun shows something else."""
    submission = made.submit(tmp_path, "mine", made.runs(70.0, suite=SUITE, seed=1), suite=SUITE)
    made.train(submission, made.runs(height, suite=SUITE, seed=next(SEEDS)))
    found = rows_of(board_at(tmp_path))
    assert (found["mine"].head, found["mine"].rank) == (head, rank)
    assert found["ppo.baseline"].rank == (2 if head != "mine" else 3)


def test_who_copies_a_claim_takes_nothing_from_its_owner(tmp_path: Path) -> None:
    """Retrained first, and not told apart: the two count once for others, and each has the rank of its own runs."""
    claim = made.runs(95.0, suite=SUITE, seed=next(SEEDS))
    for slug, height, date in (("copy", 84.0, "2026-01-01"), ("owner", 86.0, "2026-01-02")):
        submission = made.submit(tmp_path, slug, claim, suite=SUITE)
        made.train(submission, made.runs(height, suite=SUITE, seed=next(SEEDS), sd=10.0), date=date)
    found = board_at(tmp_path)
    assert (rows_of(found)["owner"].head, rows_of(found)["owner"].by_claim) == ("copy", True)
    assert {key: rank for key, rank in ranks(found).items() if not key.endswith(".baseline")} == {"copy": 2, "owner": 1}
    assert of_baselines(found) == {"vaco.baseline": 1, "ppo.baseline": 3, "spo.baseline": 4, "geppo.baseline": 5}


def test_one_seed_tells_too_little_for_anothers_rank(tmp_path: Path) -> None:
    """The claim is what the best came to, and the rerun, of a fifth of the seeds, has no p-value: it has its own."""
    submission = made.submit(tmp_path, "mine", made.runs(90.0, suite=SUITE, seed=0), suite=SUITE)
    bad = [row for row in made.runs(10.0, suite=SUITE, seed=next(SEEDS)) if row["seed"] == 0]
    made.train(submission, bad)
    mine = rows_of(board_at(tmp_path))["mine"]
    assert (mine.head, mine.rank) == ("mine", None)


def test_a_baselines_source_under_another_name(tmp_path: Path) -> None:
    source = methods._installed("ppo")
    assert list(source) == ["ppo.py"]
    trained(tmp_path, "mine", 70.0, source={"mine.py": source["ppo.py"].replace("PPO", "Mine")}, config={"x": 1})
    assert rows_of(board_at(tmp_path))["mine"].head == "ppo.baseline"


def test_a_name_that_is_anothers_takes_nothing_from_it(tmp_path: Path) -> None:
    """A baseline's name, as a name and as a slug, over a bad method."""
    trained(tmp_path, "vaco", 10.0, name="vaco")
    found = board_at(tmp_path)
    assert ranks(found) == {**ALONE, "vaco": 5}
    rows = rows_of(found)
    assert not rows["vaco"].method.is_baseline
    assert rows["vaco.baseline"].method.is_baseline
    assert {line.label for line in found.results.lines} >= {"vaco", "vaco (submitted)"} if found.results else False


def test_a_rerun_counts_for_what_was_submitted_alone(tmp_path: Path) -> None:
    """Another's rerun under its name, and its own of before it was changed."""
    trained(tmp_path, "good", 95.0)
    bad = made.submit(tmp_path, "bad", made.runs(10.0, suite=SUITE, seed=next(SEEDS)), suite=SUITE)
    reruns = tmp_path / "reruns" / SUITE
    (reruns / "bad.arrow").write_bytes((reruns / "good.arrow").read_bytes())
    found = board_at(tmp_path)
    assert [row.method.key for row in found.claims] == ["bad"]
    assert rows_of(found)["bad"].method.stale
    made.train(bad, made.runs(10.0, suite=SUITE, seed=next(SEEDS)))
    assert not board_at(tmp_path).claims
    (reruns / "gone.arrow").write_bytes((reruns / "good.arrow").read_bytes())
    with pytest.raises(LagbenchError, match=r"gone\.arrow belongs to no submission to mujoco-mini-v1"):
        board_at(tmp_path)


def test_lag_that_is_switched_off_is_flagged(tmp_path: Path) -> None:
    """Of whoever acts as it is; and thirty such make it nobody's custom."""
    for i in range(5):
        submission = made.submit(
            tmp_path, f"off{i}", made.runs(95.0, suite=SUITE, seed=next(SEEDS)), suite=SUITE, source={"x.py": made.CODE}
        )
        made.train(submission, made.runs(95.0, suite=SUITE, seed=next(SEEDS), tv_backward=1e-7))
    found = rows_of(board_at(tmp_path))
    assert {key: list(row.without_lag) for key, row in found.items() if row.without_lag} == {
        f"off{i}": [8, 32] for i in range(5)
    }


def test_a_rerun_of_drawn_cells(tmp_path: Path) -> None:
    """Two seeds of five: ranked, and what it lacks is said."""
    submission = made.submit(tmp_path, "mine", made.runs(80.0, suite=SUITE, seed=next(SEEDS)), suite=SUITE)
    some = [row for row in made.runs(80.0, suite=SUITE, seed=next(SEEDS)) if row["seed"] in (1, 3)]
    made.train(submission, some)
    mine = rows_of(board_at(tmp_path))["mine"]
    assert mine.method.record is not None
    assert not mine.method.record.is_whole
    assert mine.rank == 2
    assert len(mine.line.missing) == 9


def test_a_bad_row_does_not_flatten_the_chart(tmp_path: Path) -> None:
    trained(tmp_path, "bad", -1e6)
    found = board_at(tmp_path)
    chart = figures.of_board(found)
    assert chart is not None
    assert "Cut off, and whole in the table only: bad (submitted)." in chart.caption
    (row,) = [row for row in chart.sheet.rows if row[0] == "bad (submitted)"]
    assert re.match(r"−(9999|10000)\.\d\d \[", row[1])


def test_nothing_is_ranked_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "DIRECTORY", tmp_path / "nowhere")
    found = board_at(tmp_path)
    assert (found.rows, found.results, figures.of_board(found)) == ((), None, None)
    json.dumps(found.to_json())
    made.submit(tmp_path, "mine", made.runs(80.0, suite=SUITE), suite=SUITE)
    assert [row.method.key for row in board_at(tmp_path).claims] == ["mine"]


def test_a_baseline_counts_where_it_was_run_whole(tmp_path: Path) -> None:
    """The runs of a family's small suite are no row of the large one."""
    large = load_suite("mujoco-lite-v1")
    assert methods.find(large, tmp_path / "submissions") == []


def test_runs_that_diverged_count(tmp_path: Path) -> None:
    from tests.leaderboard.rows import cut_short

    runs = list(made.runs(80.0, suite=SUITE, seed=next(SEEDS)))
    runs[0] = {**cut_short(runs[0], 3)}
    submission = made.submit(tmp_path, "mine", runs, suite=SUITE)
    made.train(submission, runs)
    mine = rows_of(board_at(tmp_path))["mine"]
    assert [line.diverged for line in mine.results.lines] == [1, 1]
    assert mine.agreement is not None
    assert all(one.claimed == pytest.approx(one.found) for one in mine.agreement.cells)


def test_finding_suites(tmp_path: Path) -> None:
    assert methods.suites(tmp_path / "nowhere") == methods.suites(tmp_path / "submissions")
    assert "TESTING" not in methods.suites(tmp_path / "submissions")
    assert SUITE in methods.suites(tmp_path / "submissions")
    made.submit(tmp_path, "mine", made.runs(80.0))
    assert "TESTING" in methods.suites(tmp_path / "submissions")
    (tmp_path / "submissions/no-suite/x").mkdir(parents=True)
    with pytest.raises(UsageError, match="no-suite"):
        methods.suites(tmp_path / "submissions")


def test_more_seeds_than_the_suite_has(tmp_path: Path) -> None:
    runs = list(made.runs(80.0, suite=SUITE))
    submission = made.submit(tmp_path, "mine", runs, suite=SUITE)
    made.train(submission, [*runs, {**runs[0], "seed": 99}])
    with pytest.raises(LagbenchError, match=r"the rerun of mine \(submitted\) has 6 seeds, but mujoco-mini-v1 has 5"):
        board_at(tmp_path)


def test_the_same_files_give_the_same_board(tmp_path: Path) -> None:
    trained(tmp_path, "mine", 80.0)
    state = str(np.random.get_state())  # noqa: NPY002
    one, other = board_at(tmp_path), board_at(tmp_path)
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())
    assert str(np.random.get_state()) == state  # noqa: NPY002
