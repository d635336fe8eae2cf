"""From submissions on disk to the board: what is refused, what a state does to numbers, and what is published."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from lagbench import LagbenchError, UsageError, load_suite
from lagbench.cli.output import REPORT_REPLICATIONS
from lagbench.leaderboard import board, reproduction, states, verification
from lagbench.leaderboard.board import Board
from lagbench.leaderboard.former import Submission
from lagbench.leaderboard.site import pages
from lagbench.leaderboard.verify import verify
from tests.closeness import assert_close

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(whole: Submission, tmp_path: Path) -> Path:
    """A directory of submissions, with one to change."""
    shutil.copytree(whole.path.parents[1], tmp_path / "leaderboard/submissions")
    return tmp_path / "leaderboard/submissions"


def made(tree: Path) -> Board:
    (suite,) = board.find(tree)
    return board.board(suite, board.check(suite, board.find(tree)[suite]), replications=50)


@pytest.mark.usefixtures("referenced")
def test_a_submission_goes_up_the_states(tree: Path, whole: Submission) -> None:
    (entry,) = made(tree).entries
    assert (entry.slug, entry.state.level, entry.fresh) == ("ppo", states.RESCORED, False)
    assert entry.line.lag_score is not None
    assert entry.line.lag_score.value == entry.submitted.lag_score
    areas = [point.area for point in entry.line.points]
    assert len(entry.rows) == 8
    assert all(row.again is None and row.final == row.returns[-1] for row in entry.rows)
    assert {Path(name).parts[0] for name in entry.files} == {"ppo"}
    assert {file.relative_to(tree / "TESTING") for file in entry.files.values()} == set(map(Path, entry.files))

    report = verify(whole, episodes=3, nonce="7" * 64)
    verification.write(report, verification.file_of(tree / "TESTING/ppo"))
    (entry,) = made(tree).entries
    assert (entry.state.level, entry.fresh) == (states.REEVALUATED, True)
    for row in entry.rows:
        assert row.again is not None
        assert row.again.mean == report.finals[row.name]
    score = sum(report.finals[row.name] for row in entry.rows if row.value == 0 and row.task == "Hopper-v5") / 2 / 100
    point = entry.line.points[0]
    (hopper,) = [task.final for task in point.tasks if task.task == "Hopper-v5"]
    assert hopper is not None
    assert hopper.value == pytest.approx(score)
    assert entry.line.lag_score is not None
    assert entry.line.lag_score.value != entry.submitted.lag_score
    assert [point.area for point in entry.line.points] == areas
    assert "ppo.verification.json" in entry.files


def test_what_is_not_valid_comes_on_no_board(tree: Path) -> None:
    (tree / "TESTING/ppo/algorithm.txt").write_text("something else")
    with pytest.raises(
        LagbenchError, match=r"ppo is not valid, and comes on no board \(.*algorithm\.txt.* and \d+ more"
    ):
        made(tree)


def test_what_lies_among_those_of_another_suite(tree: Path) -> None:
    (tree / "TESTING").rename(tree / "mujoco-v0")
    with pytest.raises(
        LagbenchError, match=r"ppo is of TESTING, and lies among those of mujoco-v0; move it to .*TESTING"
    ):
        made(tree)


def test_a_report_of_another_submission(tree: Path, verified: verification.Verification) -> None:
    verification.write(verified, verification.file_of(tree / "TESTING/ppo"))
    with pytest.raises(LagbenchError, match="is of another submission"):
        made(tree)


def test_a_reproduction_that_cannot_be_read(tree: Path) -> None:
    file = reproduction.file_of(tree / "TESTING/ppo")
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    with pytest.raises(LagbenchError, match=r"ppo\.json"):
        made(tree)


def test_finding_submissions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no directory .*nowhere; give that of the submissions"):
        board.find(tmp_path / "nowhere")
    for name in ("TESTING/b", "TESTING/a", "mujoco-v0"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "README.md").write_text("")
    (tmp_path / "TESTING/notes.txt").write_text("")
    assert board.find(tmp_path) == {"TESTING": [tmp_path / "TESTING/a", tmp_path / "TESTING/b"]}
    (tmp_path / "no-suite").mkdir()
    with pytest.raises(UsageError, match="no-suite"):
        board.find(tmp_path)


def test_the_script_publishes_what_there_is_and_nothing_else(tree: Path, tmp_path: Path) -> None:
    from scripts.publish_boards import main

    (tmp_path / "boards").mkdir()
    (tmp_path / "boards/gone.json").write_text("{}")
    options = ["--submissions", str(tree), "--boards", str(tmp_path / "boards"), "--replications", "50"]
    done = CliRunner().invoke(main, options, catch_exceptions=False)
    assert done.output == f"{tmp_path / 'boards/TESTING.json'}: ppo\n"
    assert [file.name for file in (tmp_path / "boards").iterdir()] == ["TESTING.json"]
    assert (tmp_path / "boards/TESTING.json").read_text(encoding="utf-8") == pages.document(made(tree))


def test_there_is_a_board_for_all_that_was_submitted() -> None:
    found = board.find(board.SUBMISSIONS)
    assert found
    assert sorted(file.stem for file in board.BOARDS.glob("*.json")) == sorted(found), (
        "make them with: python scripts/publish_boards.py"
    )


@pytest.mark.slow
@pytest.mark.parametrize("suite", sorted(file.stem for file in board.BOARDS.glob("*.json")))
def test_the_published_numbers_follow_from_the_submissions(suite: str) -> None:
    """Validated, states computed, and all of the bootstrap drawn again. Otherwise: python scripts/publish_boards.py."""
    checked = board.check(suite, board.find(board.SUBMISSIONS)[suite])
    found = board.board(suite, checked, replications=REPORT_REPLICATIONS)
    published = json.loads((board.BOARDS / f"{suite}.json").read_text(encoding="utf-8"))
    assert_close(json.loads(pages.document(found)), published)
    assert published["suite"]["sha256"] == load_suite(suite).sha256
