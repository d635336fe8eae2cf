"""``lagbench report``."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from lagbench.scoring import table
from tests.cli.run_here import lagbench
from tests.scoring import synthetic


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two configurations of one algorithm on one task, of no suite."""
    rows = [
        synthetic.row("vaco", "Hopper-v5", seed, (0.0, 1.0 + seed), lag=lag, config={"delta": delta})
        for delta, lag, seed in product((0.1, 0.2), (0,), range(2))
    ]
    table.to_file(synthetic.table(rows), tmp_path / "runs.arrow")
    return tmp_path / "runs.arrow"


OPTIONS = ("-o", "out", "--by", "delta", "--replications", "20")


def test_a_report_and_the_same_again(runs: Path) -> None:
    done = lagbench("report", runs, *OPTIONS)
    assert (done.code, done.out) == (0, "out/index.html\n")
    assert "made in " in done.err
    assert "note: the runs belong to no suite, so returns are not normalised" in done.err
    assert "Score against divergence: returns are not normalised" in done.err
    page = Path("out/index.html").read_text()
    assert f"lagbench report {runs} -o out --by delta --replications 20" in page
    assert "vaco delta=0.2" in page
    first = {file.name: file.read_bytes() for file in Path("out").iterdir()}
    again = lagbench("report", runs, *OPTIONS)
    assert again.code == 0
    assert "replaced the earlier report in out" in again.err
    assert {file.name: file.read_bytes() for file in Path("out").iterdir()} == first


def test_quietly_the_page_alone_is_named(runs: Path) -> None:
    done = lagbench("report", runs, *OPTIONS, "-q")
    assert (done.code, done.out, done.err) == (0, "out/index.html\n", "")
    again = lagbench("report", runs, *OPTIONS, "-q", "--json")
    assert (again.err, again.json["path"]) == ("", "out")
    assert {*again.json["files"], "report.json"} == {file.name for file in Path("out").iterdir()}
    assert any("not normalised" in reason for reason in again.json["left_out"])


def test_50_000_replications_unless_told_otherwise() -> None:
    assert "50000" in lagbench("report", "--help").out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["text.txt", "-o", "out"], "text.txt cannot be read"),
        ([".", "-o", "out", "--replications", "0"], "--replications must be at least 1, not 0"),
        (["."], "Missing option '-o'"),
        ([".", "-o", "."], "contains a file that is not part of a lagbench report, 'text.txt'"),
        ([".", "-o", "text.txt"], "text.txt is not a directory"),
    ],
)
def test_one_clear_sentence(arguments: list[str], sentence: str) -> None:
    Path("text.txt").write_text("no table")
    done = lagbench("report", *arguments)
    assert done.code in (1, 2)
    assert sentence in done.sentence
    assert not Path("out").exists()
