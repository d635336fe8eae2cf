"""References: their numbers by hand, and a small suite measured as it is typed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from math import sqrt
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from click.testing import CliRunner

import lagbench
from lagbench import suites
from scripts import references


def test_what_scores_0_is_the_mean_over_seeds() -> None:
    found = references.start([1.0, 2.0, 6.0], [100, 101, 102])
    # Deviations −2, −1, 3: variance 14/2, over 3.
    assert found == {
        "mean": 3.0,
        "standard_error": pytest.approx(sqrt(7 / 3), rel=1e-15),
        "seeds": [100, 101, 102],
        "returns": [1.0, 2.0, 6.0],
    }


def test_what_scores_1_is_the_interquartile_mean_with_its_own_standard_error() -> None:
    """Of eight values the two lowest and the two highest are cut off, and count as their neighbours in the error."""
    found = references.reference([0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 100.0, 100.0], range(8))
    assert found["mean"] == 2.5
    # Winsorized: 1 1 1 2 3 4 4 4, mean 2.5, squares 3·2.25 + 0.25 + 0.25 + 3·2.25 = 14, variance 14/7;
    # over (1 − 2·¼) √8.
    assert found["standard_error"] == pytest.approx(sqrt(2) / (0.5 * sqrt(8)), rel=1e-12)


def test_version_0_is_evaluated_as_a_run_evaluates_it(tmp_path: Path) -> None:
    cell: dict[str, Any] = {"suite": "TESTING", "task": "Hopper-v5", "lag": 0, "seed": 1}
    run = lagbench.run(out=tmp_path / "run", **cell)
    assert references.untrained(run.spec) == run.curve()[0].mean != run.curve("mode")[0].mean


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> suites.Suite:
    """TESTING, as if it were a family's, so that nothing lies in its place."""
    suite = dataclasses.replace(suites.load("TESTING"), family="TESTING-family")
    changed = {**suite.data, "tasks": ["InvertedPendulum-v5", "Hopper-v5"], "budget": 256}
    found = dataclasses.replace(suite, data=MappingProxyType(changed))
    monkeypatch.setattr(lagbench, "load_suite", lambda name: found)
    return found


def test_it_is_measured_and_measured_again_only_where_it_is_missing(small: suites.Suite, tmp_path: Path) -> None:
    file = tmp_path / "made.json"
    arguments = ["TESTING", "--seeds", "100-102", "--start-seeds", "100-102", "-q", "-j", "1"]
    arguments += ["-o", str(tmp_path / "runs"), "--write", str(file), "--results", str(tmp_path / "kept.arrow")]
    one = CliRunner().invoke(references.main, [*arguments, "--task", "Hopper-v5"])
    assert one.exit_code == 0, one.output
    assert "3 runs, about " in one.output
    assert "Hopper-v5: " in one.output
    first = json.loads(file.read_text())
    assert first["suite"] == {"name": "TESTING-family", "sha256": small.runs.sha256}
    at = first["tasks"]["Hopper-v5"]
    assert (at["start"]["seeds"], at["reference"]["seeds"]) == ([100, 101, 102],) * 2
    runs = [lagbench.open(path.parent) for path in sorted((tmp_path / "runs").rglob("spec.json"))]
    assert [run.spec.protocol.lag for run in runs] == [0, 0, 0]
    assert at["reference"]["returns"] == [run.curve()[-1].mean for run in runs]
    assert at["start"]["returns"] == [run.curve()[0].mean for run in runs]
    assert len(file.read_text().splitlines()) < 50
    # The other task is added; nothing of the first is run again.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("result.json")}
    both = CliRunner().invoke(references.main, arguments)
    assert both.exit_code == 0, both.output
    again = json.loads(file.read_text())
    assert list(again["tasks"]) == ["Hopper-v5", "InvertedPendulum-v5"]
    assert again["tasks"]["Hopper-v5"]["reference"] == at["reference"]
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    # The table of finished runs is enough.
    shutil.rmtree(tmp_path / "runs")
    file.unlink()
    kept = CliRunner().invoke(references.main, arguments)
    assert kept.exit_code == 0, kept.output
    assert json.loads(file.read_text())["tasks"]["Hopper-v5"]["reference"] == at["reference"]
    assert not (tmp_path / "runs").exists()


def test_what_cannot_be_measured(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"suite": {"name": "x", "sha256": "0"}, "tasks": {}}))
    for arguments, sentence in (
        (["mujoco-reuse-mini-v1"], "mujoco-reuse-mini-v1 has the references of mujoco-1m-v1; measure those"),
        (["mujoco-mini-v1", "--write", str(other)], "belongs to another version of the suite; move it away"),
    ):
        refused = CliRunner().invoke(references.main, arguments)
        assert refused.exit_code == 2
        assert sentence in refused.output
