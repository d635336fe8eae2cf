"""The search on language: the same for every algorithm, on questions of no score; a small one, then from its table."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lagbench import registry
from lagbench.config import make_config
from lagbench.domain import LANGUAGE
from scripts import results, search_language
from tests.tasks.gsm8k.tiny import make_data, make_model


def test_every_algorithm_of_language_gets_the_same_effort() -> None:
    domains = {name: registry.only_for(target) for name, target in registry.algorithms().items()}
    assert set(search_language.OWN) == {name for name, own in domains.items() if not own or LANGUAGE.name in own}
    for name, values in search_language.OWN.items():
        cls = registry.load(registry.algorithms()[name])
        configs = [make_config(cls.Config, cls.preset(LANGUAGE.name), own) for own in values]
        assert len(configs) == 2
        assert configs[0] != configs[1]


def test_what_is_run() -> None:
    planned = search_language.cells(Path("x"), "topr", [search_language.SEED], search_language.settings())
    assert len({json.dumps(dict(cell.spec.config), sort_keys=True) for cell in planned}) == 4
    assert [cell.spec.protocol.lag for cell in planned].count(64) == 4
    assert {(cell.spec.phases, cell.spec.task_options["test"]) for cell in planned} == {(320, "held-out")}
    suite = search_language.SUITE
    assert all(cell.spec.protocol == suite.protocol(cell.spec.protocol.lag) for cell in planned)
    assert all(suite.data["task_options"].items() <= cell.spec.task_options.items() for cell in planned)


def test_a_score_by_hand() -> None:
    """The mean of both lags; of seed 1001 one is missing, and a run that diverged counts as the worse of two."""
    config = json.dumps({"learning_rate": 1e-4, "clip": 0.1, "gamma": 1.0})
    rows: list[dict[str, Any]] = [
        {"algorithm": "ppo", "config": config, "status": "completed", "lag": 0, "seed": 1000, "returns": [0.4, 0.8]},
        {"algorithm": "ppo", "config": config, "status": "diverged", "lag": 64, "seed": 1000, "returns": [0.4, 0.6]},
        {"algorithm": "ppo", "config": config, "status": "completed", "lag": 0, "seed": 1001, "returns": [0.4, 0.9]},
        {"algorithm": "geppo", "config": config, "status": "completed", "lag": 0, "seed": 1000, "returns": [0.4, 0.9]},
    ]
    found = search_language.found(rows, "ppo")
    assert search_language.score(found[1e-4, 0]) == {1000: pytest.approx(0.6)}
    assert search_language.score(found[1e-4, 1]) == {}


def test_it_goes_on_from_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"data": str(make_data(tmp_path / "data")), "model": str(make_model(tmp_path / "model"))}
    task_options = {**places, "prompt": "plain", "max_new_tokens": 4}
    data = {**search_language.SUITE.data, "tasks": ["GSM8k-v0"], "task_options": task_options}
    data["protocol"] = {**data["protocol"], "lag": [2]}
    monkeypatch.setattr(search_language, "SUITE", replace(search_language.SUITE, data=data))
    monkeypatch.setattr(search_language, "PLAN", {**search_language.PLAN, "budget": 48, "eval_episodes": 1})
    monkeypatch.setattr(search_language, "LAGS", (2,))
    monkeypatch.setattr(search_language, "RATES", (1e-4,))
    monkeypatch.setattr(search_language, "MORE_SEEDS", (1001,))
    kept_in = tmp_path / "kept.arrow"
    arguments = ["--algo", "gspo", "-o", str(tmp_path / "runs"), "--results", str(kept_in), "-q", "-j", "1"]
    first = CliRunner().invoke(search_language.main, arguments)
    assert first.exit_code == 0, first.output
    head, _, *lines = first.stdout.splitlines()
    assert head == "| algorithm | learning rate | parameter | lag 2 | both | lead |"
    assert len(lines) == 2
    assert "clip 0.0003, clip_high 0.0004" in lines[0]
    kept = results.read(kept_in)
    assert sorted(row["seed"] for row in kept) == [1000, 1000, 1001, 1001]
    shutil.rmtree(tmp_path / "runs")
    assert CliRunner().invoke(search_language.main, arguments).stdout == first.stdout
    assert not (tmp_path / "runs").exists()
