"""The search: its rule by hand, and a small one from nothing, then from its table alone."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from lagbench import registry
from scripts import results, search

SCALE = search.Scale({"Walker2d-v5": 10.0, "HalfCheetah-v5": -100.0}, {"Walker2d-v5": 1010.0, "HalfCheetah-v5": 900.0})


def test_a_score_by_hand() -> None:
    finals = {
        ("Walker2d-v5", 0): {1000: 510.0, 1001: 10.0},
        ("Walker2d-v5", 32): {1000: 9999.0, 1001: 1010.0},
        ("HalfCheetah-v5", 0): {1000: -100.0, 1001: 400.0, 1002: 0.0},
        ("HalfCheetah-v5", 32): {1000: -600.0, 1001: 900.0},
    }
    # ½, 1½ (capped), 0, −½; and 0, 1, ½, 1. Of seed 1002 there is no whole row.
    assert search.score(finals, SCALE) == {1000: pytest.approx(1.5 / 4), 1001: pytest.approx(2.5 / 4)}


def test_what_was_run_on_more_seeds_is_chosen_among_first() -> None:
    scores = {(3e-4, 0.1): {1000: 9.0}, (3e-4, 0.2): {1000: 1.0, 1001: 2.0}, (1e-3, 0.2): {1000: 2.0, 1001: 2.0}}
    assert search.best(scores) == [(1e-3, 0.2), (3e-4, 0.2), (3e-4, 0.1)]
    # Gaps of 1 and 0: mean ½, standard error ½.
    assert search.distance(scores[1e-3, 0.2], scores[3e-4, 0.2]) == pytest.approx(1.0)
    assert math.isnan(search.distance(scores[3e-4, 0.1], scores[3e-4, 0.2]))


def test_every_baseline_of_control_gets_the_same_effort() -> None:
    assert set(search.GRID) <= set(registry.algorithms())
    assert {len(search.cells(Path("x"), name, [search.SEED])) for name in search.GRID} == {24}
    for name in search.GRID:
        for cell in search.cells(Path("x"), name, [search.SEED]):
            assert cell.spec.seed not in range(100)
            assert cell.spec.protocol.phase_steps == search.SUITE.protocol(0).phase_steps


def test_it_goes_on_from_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "BUDGET", 2048)
    monkeypatch.setattr(search, "TASKS", ("Hopper-v5",))
    monkeypatch.setattr(search, "LAGS", (0,))
    monkeypatch.setattr(search, "MORE_SEEDS", (1001,))
    monkeypatch.setattr(search, "SCALE_SEEDS", (1000, 1001))
    monkeypatch.setattr(search, "GRID", {"ppo": ((3e-4,), "clip", (0.1, 0.2))})
    arguments = ["-o", str(tmp_path / "runs"), "--results", str(tmp_path / "kept.arrow"), "-q", "-j", "1"]
    first = CliRunner().invoke(search.main, arguments)
    assert first.exit_code == 0, first.output
    head, _, *lines = first.stdout.splitlines()
    assert head == "| algorithm | learning rate | parameter | Hopper-v5, lag 0 | score | lead |"
    assert len(lines) == 2
    assert sum("standard errors" in line for line in lines) == 1
    kept = results.read(tmp_path / "kept.arrow")
    assert sorted(row["seed"] for row in kept) == [1000, 1000, 1001, 1001]
    shutil.rmtree(tmp_path / "runs")
    assert CliRunner().invoke(search.main, arguments).stdout == first.stdout
    assert not (tmp_path / "runs").exists()
