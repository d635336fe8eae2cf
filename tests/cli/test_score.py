"""``lagbench score``."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from lagbench.records.rows import PhaseRecord
from lagbench.scoring import table
from lagbench.source.algorithms import AlgorithmSource
from tests.cli.run_here import lagbench
from tests.records import build
from tests.scoring import synthetic


def shifted(phase: int, by: float) -> PhaseRecord:
    """A phase whose evaluation episodes earned ``by`` more in their first step."""
    record = build.make_record(phase)

    def better(episode: Any) -> Any:
        reward = episode.reward.copy()
        reward[0] += by
        return dataclasses.replace(episode, reward=reward)

    evaluations = [
        dataclasses.replace(e, episodes=[better(x) for x in e.episodes] if e.index else e.episodes)
        for e in record.evaluations
    ]
    return dataclasses.replace(record, evaluations=evaluations)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two algorithms at two lags with three seeds on one task, of no suite."""
    root = tmp_path_factory.mktemp("runs")
    for algorithm in ("ppo", "vaco"):
        for lag in (0, 2):
            for seed in range(3):
                spec = build.make_spec(
                    "episodes",
                    algorithm=AlgorithmSource(algorithm, "0" * 64),
                    config=MappingProxyType({"delta": 0.1 * (1 + seed % 2) if algorithm == "vaco" else 0.1}),
                    protocol=dataclasses.replace(build.make_spec().protocol, lag=lag),
                    seed=seed,
                )
                records = (shifted(phase, 10.0 * (algorithm == "vaco") + seed) for phase in range(build.PHASES))
                build.finish(build.write(root / f"{algorithm}/lag{lag}-seed{seed}", spec, records))
    return root


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Two algorithms of the mini suite, without gaps."""
    from lagbench import suites

    suite = suites.load("mujoco-mini-v1")
    heights = {"ppo": {0: 1.0, 8: 0.6, 32: 0.3}, "vaco": {0: 1.0, 8: 0.95, 32: 0.9}}
    return [
        {
            **synthetic.row(
                r["algorithm"], r["task"], r["seed"], [i * r["final"] for i in range(11)], lag=r["lag"], intervals=10
            ),
            "suite": suite.runs.name,
            "suite_sha256": suite.runs.sha256,
            "budget": suite.budget,
        }
        for r in synthetic.noisy(heights, seeds=len(suite.seeds), tasks=suite.tasks)
    ]


@pytest.fixture
def mini(rows: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of them, with references that somebody made up."""
    from lagbench.suites import references
    from lagbench.suites.references import Reference, References, TaskReferences

    at = TaskReferences(Reference(0.0, 0.01, (0,)), Reference(10.0, 0.01, (100, 101)))
    monkeypatch.setattr(references, "load", lambda suite: References(dict.fromkeys(suite.tasks, at)))
    table.to_file(synthetic.table(rows), tmp_path / "mini.arrow")
    return tmp_path / "mini.arrow"


def test_on_the_terminal(mini: Path) -> None:
    done = lagbench("score", mini, "--replications", "100")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].startswith("mujoco-mini-v1 (")
    assert lines[1].endswith("100 replications of a stratified bootstrap; publish with --replications 50,000")
    for title in ("Score over lag", "Final score", "Area under the curve", "Differences"):
        assert title in lines
    headline = lines[lines.index("Score over lag") + 3 :]
    assert headline[0].split()[:2] == ["vaco", "1"]
    assert headline[1].split()[:2] == ["ppo", "2"]
    assert done.out.count("Measured coverage") == 6
    assert done.err.startswith("scored in ")


def test_json_is_one_document_and_the_same_every_time(runs: Path) -> None:
    first = lagbench("score", runs / "ppo", "--json", "--replications", "50", "-q")
    assert first.err == ""
    assert first.json["values"] == [0, 2]
    assert first.json["kind"] == "return"
    backwards = sorted((runs / "ppo").iterdir(), reverse=True)
    assert lagbench("score", *backwards, "--json", "--replications", "50").out == first.out


def test_csv(mini: Path) -> None:
    done = lagbench("score", mini, "--csv", "--replications", "50", "-q")
    found = list(csv.DictReader(io.StringIO(done.out)))
    (retention,) = [
        float(r["value"]) for r in found if (r["label"], r["lag"], r["quantity"]) == ("vaco", "32", "retention")
    ]
    assert retention == pytest.approx(0.9, abs=0.1)


def test_latex(mini: Path) -> None:
    done = lagbench("score", mini, "--latex", "--replications", "50", "-q")
    assert done.out.count(r"\toprule") == 7


def test_notes_go_along_with_csv_and_latex(runs: Path) -> None:
    for option in ("--csv", "--latex"):
        done = lagbench("score", runs / "ppo", option, "--replications", "50")
        assert "note: the runs belong to no suite, so returns are not normalised" in done.err


def test_a_swept_hyperparameter(runs: Path) -> None:
    refused = lagbench("score", runs)
    assert refused.code == 2
    assert "vaco was run with 2 configurations: delta is 0.1 and 0.2" in refused.sentence
    done = lagbench("score", runs, "--by", "delta", "--json", "--replications", "50")
    assert [line["label"] for line in done.json["lines"]] == ["ppo delta=0.1", "vaco delta=0.1", "vaco delta=0.2"]
    assert any(note.startswith("vaco delta=0.2 has 2 of 6 runs") for note in done.json["notes"])


def test_the_table_is_all_that_is_needed(runs: Path, tmp_path: Path) -> None:
    options = ("--json", "--replications", "50")
    first = lagbench("score", runs / "ppo", *options, "--table", tmp_path / "runs.arrow")
    assert lagbench("score", tmp_path / "runs.arrow", *options).out == first.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "there is no directory 'nowhere'"),
        (["."], "no runs found in '.'"),
        (["text.txt"], "text.txt cannot be read"),
        ([".", "--json", "--csv"], "give one of --json, --csv and --latex"),
        ([".", "--replications", "0"], "--replications must be at least 1, not 0"),
        ([], "Missing argument 'RUNS...'"),
    ],
)
def test_one_clear_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("no table")
    done = lagbench("score", *arguments)
    assert done.code in (1, 2)
    assert sentence in done.sentence


def test_unfinished_runs_only(tmp_path: Path) -> None:
    build.write(tmp_path / "runs/one", build.make_spec(), [build.make_record(0)]).close()
    done = lagbench("score", tmp_path / "runs", "-q")
    assert done.code == 1
    assert "no run is finished (1 unfinished), so there is nothing to score; resume one with: lagbench" in done.sentence


def test_a_nan_in_a_table(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    import pyarrow as pa

    broken = [{**rows[0], "returns": [0.0] * 10 + [float("nan")]}, *rows[1:]]
    table.to_file(pa.Table.from_pylist(broken, table.SCHEMA), tmp_path / "x.arrow")
    done = lagbench("score", tmp_path / "x.arrow", "-q")
    assert done.code == 1
    assert "its return at 100% of the budget is not finite" in done.sentence


@pytest.fixture(autouse=True)
def _no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
