"""``lagbench compare``: real runs of an algorithm of one's own, against real runs of PPO, on the suite TESTING."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lagbench import LagbenchError, load_suite, plan_grid
from lagbench.leaderboard import compare, published
from lagbench.scoring import table
from lagbench.sweep.cells import State
from lagbench.sweep.driver import CellOutcome
from tests.cli.run_here import ALGORITHMS, Done, lagbench
from tests.leaderboard.rows import suite_rows
from tests.scoring import synthetic

OPTIONS = ("--suite", "TESTING", "-o", "out", "--replications", "200")
MINE = ("compare", "mine.py:Mine", *OPTIONS)


@dataclass(frozen=True)
class Place:
    """A directory with mine.py, a table of PPO's runs, and Mine compared with them in out/."""

    path: Path
    first: Done


@pytest.fixture(scope="module")
def made(ppo: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    path = tmp_path_factory.mktemp("compared")
    (path / "mine.py").write_text(ALGORITHMS)
    (path / "scores").mkdir()
    table.to_file(published.build(ppo), path / "scores/TESTING.arrow")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setattr(published, "DIRECTORY", path / "scores")
        return Place(path, lagbench(*MINE, "-j", "2"))


@pytest.fixture
def place(made: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(made.path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr(published, "DIRECTORY", made.path / "scores")
    before = sorted(file.name for file in (made.path / "out/runs").rglob("*"))
    yield made
    assert before == sorted(file.name for file in (made.path / "out/runs").rglob("*"))


def test_one_command(place: Place) -> None:
    done = place.first
    assert done.code == 0
    # The hours come first.
    assert re.match(r"8 cells, 8 to run \(about \d+ s on one core\), 2 at a time, in out/runs\n", done.err)
    assert "[8/8] completed" in done.err
    *_, title, verdict, coverage, summary = done.out.splitlines()
    assert title == "Verdict, by p ≤ 0.05"
    assert verdict.startswith(("- mine.py:Mine is ", "- mine.py:Mine and ppo are not separable: "))
    assert "the probability that a run of it scores above one of ppo is " in verdict
    assert coverage.startswith("Measured coverage of the 95% intervals: 0.66 with 2 seeds on 2 tasks")
    assert summary.startswith("mine.py:Mine: ")
    assert "note: fewer than 3 seeds in some cells" in done.out
    assert "note: TESTING has no references" in done.out
    assert (place.path / "out/comparison.txt").read_text() == done.out


def test_the_same_line_again_runs_nothing(place: Place) -> None:
    again = lagbench(*MINE, "-q")
    assert (again.code, again.out, again.err) == (0, place.first.out, "")
    assert "8 cells, 0 to run" in lagbench(*MINE).err


def test_everything_is_in_one_table(place: Place) -> None:
    everything = table.from_file(place.path / "out/table.arrow")
    assert published.algorithms(everything) == ["mine.py:Mine", "ppo"]
    paths = everything["path"].to_pylist()
    assert "out/runs/Hopper-v5/Mine/lag2-u8-seed1" in paths
    assert "TESTING/Hopper-v5/ppo/lag2-u8-seed1" in paths
    scored = lagbench("score", "out/table.arrow", "--replications", "200", "-q").out
    assert scored.splitlines()[0] == place.first.out.splitlines()[0]


def test_json_is_one_document(place: Place, referenced: None) -> None:
    done = lagbench(*MINE, "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json == _json(place.path / "out/comparison.json")
    assert done.json["new"] == "mine.py:Mine"
    (verdict,) = done.json["verdicts"]
    assert verdict["against"] == "ppo"
    assert verdict["outcome"] in ("better", "worse", "not separable")
    assert "lag score" in verdict["text"]
    results = done.json["results"]
    assert [(pair["first"], pair["second"]) for pair in results["comparisons"]] == [("mine.py:Mine", "ppo")]
    assert results["kind"] == "score"
    lagbench(*MINE, "-q")


def test_against_which_baselines(place: Place, tmp_path: Path, referenced: None) -> None:
    rows = [*suite_rows({"low": -300.0, "high": 300.0}), *_rows(place.path / "scores/TESTING.arrow")]
    table.to_file(synthetic.table(rows), tmp_path / "more.arrow")
    arguments = ("compare", "mine.py:Mine", "--baselines", tmp_path / "more.arrow", *OPTIONS, "-q")
    everything = lagbench(*arguments).out
    assert "- mine.py:Mine is better than low: lag score " in everything
    assert "- mine.py:Mine is worse than high: lag score " in everything
    assert "better than low" in everything.splitlines()[-1]
    two = lagbench(*arguments, "--against", "low,ppo").out
    assert "low" in two.splitlines()[-1]
    assert "ppo" in two.splitlines()[-1]
    assert "high" not in two.splitlines()[-1]
    refused = lagbench(*arguments, "--against", "hihg")
    assert refused.code == 2
    assert refused.sentence == ("Error: 'hihg' is not one of the baselines; did you mean 'high'? Known: high, low, ppo")
    lagbench(*MINE, "-q")


def test_a_baseline_run_again(place: Place, ppo: Path, tmp_path: Path, referenced: None) -> None:
    """Under a name of its own; and what is equal is not separable."""
    shutil.copytree(ppo, tmp_path / "again/runs")
    done = lagbench("compare", "ppo", *OPTIONS, "-o", tmp_path / "again", "-q")
    assert done.code == 0
    assert "note: ppo is also a baseline: the new runs, with the same source and hyperparameters, are" in done.out
    assert "- ppo (new) and ppo are not separable: lag score 0.00 higher (from " in done.out
    assert done.out.splitlines()[-1] == "ppo (new): not separable from ppo"


@pytest.mark.parametrize(
    ("sha256", "config", "words"),
    [
        ("0" * 64, "{}", "with the same source and hyperparameters,"),
        ("1" * 64, "{}", "with another source,"),
        ("0" * 64, '{"clip":0.1}', "with other hyperparameters,"),
        ("1" * 64, '{"clip":0.1}', "with another source and other hyperparameters,"),
    ],
)
def test_what_has_the_name_of_a_baseline_is_called_otherwise(sha256: str, config: str, words: str) -> None:
    rows = suite_rows({"ppo": 1.0, "ppo (new)": 1.0})
    runs = synthetic.table({**row, "algorithm_source": sha256, "config": config} for row in suite_rows({"ppo": 1.0}))
    label, (note,) = compare._label("ppo", runs, synthetic.table(rows))
    assert label == "ppo (new) (new)"
    assert words in note
    assert compare._label("vaco", runs, synthetic.table(rows)) == ("vaco", [])


def test_an_incomplete_grid_has_no_verdict(place: Place, tmp_path: Path, referenced: None) -> None:
    shutil.copytree(place.path / "out/runs", tmp_path / "part/runs")
    shutil.rmtree(tmp_path / "part/runs/Hopper-v5/Mine/lag2-u8-seed1")
    done = lagbench(*MINE, "-o", tmp_path / "part", "--seeds", "0", "-q")
    assert done.code == 0
    assert done.out.splitlines()[-1] == "mine.py:Mine: no verdict on ppo"
    assert (
        "- mine.py:Mine and ppo: no verdict: mine.py:Mine has 4 of 8 runs (missing: InvertedPendulum-v5 at lag 0, "
        in done.out
    )


def test_runs_that_failed_are_said(place: Place, tmp_path: Path, referenced: None) -> None:
    """Of outcomes as a sweep gives them: one run failed, one crashed and left nothing."""
    cells = plan_grid(Path("out/runs"), algo=["mine.py:Mine"], suite="TESTING", record="episodes")
    outcomes = [CellOutcome(cell, State("completed")) for cell in cells]
    outcomes[0] = CellOutcome(cells[0], State("crashed", "MemoryError: too much"))
    found = compare.compare(outcomes, published.load(load_suite("TESTING")), replications=50)
    assert found.verdicts[0].outcome == "none"
    assert f"crashed: {cells[0].path}: MemoryError: too much" in found.results.notes
    assert any(note.startswith("mine.py:Mine has 7 of 8 runs; missing: ") for note in found.results.notes)
    nothing = [CellOutcome(cell, State("crashed", "MemoryError: too much")) for cell in cells]
    with pytest.raises(
        LagbenchError, match=r"no run of mine\.py:Mine has a result \(8 crashed\); the first: out/runs/"
    ):
        compare.compare(nothing, published.load(load_suite("TESTING")), replications=50)
    assert len(compare._failures(nothing)) == 4
    assert compare._failures(nothing)[-1] == "and 5 more runs without a result"


def test_nothing_works(place: Place, tmp_path: Path) -> None:
    """Runs that are recorded as failed, as soon as they begin."""
    done = lagbench("compare", "mine.py:Mistaken", *OPTIONS, "-o", tmp_path / "x", "--seeds", "1", "-q", "-j", "2")
    assert done.code == 1
    assert "no run of mine.py:Mistaken has a result (4 failed); the first: " in done.sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["mine.py:Mine", "--suite", "TESTIN", "-o", "x"], "unknown suite 'TESTIN'; did you mean 'TESTING'?"),
        (["mine.py:Mine", "--suite", "mujoco-v0", "-o", "x"], "no scores are published for mujoco-v0 (published: TEST"),
        (["vacco", "--suite", "TESTING", "-o", "x"], "unknown algorithm 'vacco'; did you mean 'vaco'?"),
        (["mine.py:Mone", "--suite", "TESTING", "-o", "x"], "unknown class in mine.py 'Mone'; did you mean 'Mine'?"),
        (["nine.py:Mine", "--suite", "TESTING", "-o", "x"], "there is no file 'nine.py'"),
        (["mine.py:Mine", "--suite", "TESTING", "-o", "x", "--seeds", "2"], "TESTING has the seeds 0-1, not 2"),
        (["mine.py:Mine", "--suite", "TESTING", "-o", "x", "--set", "strengt=1"], "did you mean 'strength'?"),
        (["mine.py:Mine", "--suite", "TESTING", "-o", "x", "--device", "tpu"], "unknown device 'tpu'"),
        (["mine.py:Mine", "--suite", "TESTING", "-o", "x", "--replications", "0"], "must be at least 1, not 0"),
        (["mine.py:Mine", "--suite", "TESTING", "-o", "x", "--baselines", "mine.py"], "mine.py cannot be read"),
        (["mine.py:Mine", "--suite", "TESTING"], "Missing option '-o'"),
        (["mine.py:Mine", "-o", "x"], "Missing option '--suite'"),
        (["mine.py:Late", "--suite", "TESTING", "-o", "mine.py"], "is a file"),
    ],
)
def test_one_clear_sentence(place: Place, arguments: list[str], sentence: str) -> None:
    """And nothing was begun."""
    done = lagbench("compare", *arguments)
    assert done.code in (1, 2)
    assert sentence in done.sentence
    assert not (place.path / "x").exists()


def test_an_algorithm_that_was_changed(place: Place) -> None:
    (place.path / "mine.py").write_text(ALGORITHMS + "\n# Better.\n")
    done = lagbench(*MINE)
    (place.path / "mine.py").write_text(ALGORITHMS)
    assert done.code == 2
    assert "holds another run: the source of " in done.sentence


def test_the_help_names_it() -> None:
    listed = [line.split(maxsplit=1) for line in lagbench("--help").out.splitlines() if line.startswith("  ")]
    assert ["compare", "Run ALGO on a suite, and compare it with baselines."] in listed
    assert ["leaderboard", "Submit a method, validate it, rerun it, build the leaderboard."] in listed


def _json(file: Path) -> Any:
    import json

    return json.loads(file.read_text())


def _rows(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = table.from_file(file).to_pylist(maps_as_pydicts="strict")
    return [{**row, "metrics": list(row["metrics"].items())} for row in found]
