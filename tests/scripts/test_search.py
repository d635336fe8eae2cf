"""The searches: their rule by hand, the same effort for every algorithm, and a small one, then from its table alone."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lagbench import registry
from lagbench.config import make_config
from lagbench.domain import LANGUAGE as DOMAIN
from scripts import results, search
from scripts.search import CONTROL, SEED, Search, best, command, distance
from scripts.search_language import LANGUAGE, SUITE
from tests.tasks.gsm8k.tiny import make_data, make_model


def finals(task: str, lag: int, returns: dict[int, list[float]], status: str = "completed") -> list[dict[str, Any]]:
    """Rows of a PPO at learning rate 3e-4 and clip 0.1: first and last return by seed."""
    config = json.dumps({"learning_rate": 3e-4, "clip": 0.1, "gamma": 0.99})
    row = {"algorithm": "ppo", "config": config, "task": task, "lag": lag, "status": status}
    return [{**row, "seed": seed, "returns": ends} for seed, ends in returns.items()]


def test_a_score_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between 10 and 1010 on one task, −100 and 900 on the other; of a run that diverged the worse end counts."""
    scale = search.Scale(
        {"Walker2d-v5": 10.0, "HalfCheetah-v5": -100.0}, {"Walker2d-v5": 1010.0, "HalfCheetah-v5": 900}
    )
    monkeypatch.setattr(Search, "scaled", lambda *_: scale)
    rows = [
        *finals("Walker2d-v5", 0, {1000: [0.0, 510.0], 1001: [0.0, 10.0]}),
        *finals("Walker2d-v5", 32, {1000: [0.0, 9999.0], 1001: [0.0, 1010.0]}),
        *finals("HalfCheetah-v5", 0, {1000: [-100.0, 0.0]}, status="diverged"),
        *finals("HalfCheetah-v5", 0, {1001: [0.0, 400.0], 1002: [0.0, 0.0]}),
        *finals("HalfCheetah-v5", 32, {1000: [0.0, -600.0], 1001: [0.0, 900.0]}),
    ]
    # ½, 1½ (capped), 0, −½; and 0, 1, ½, 1. Of seed 1002 there is no whole row.
    assert CONTROL.scores(rows, "ppo") == {0: {1000: pytest.approx(1.5 / 4), 1001: pytest.approx(2.5 / 4)}}
    assert CONTROL.scores(rows, "geppo") == {}


def test_what_scores_0_and_1_is_a_default_ppo() -> None:
    config = json.dumps({"learning_rate": 3e-4, "clip": 0.2})
    row = {"algorithm": "ppo", "config": config, "lag": 0}
    rows = [
        {**row, "task": task, "seed": seed, "returns": [seed - 1000.0, 100.0]}
        for task in CONTROL.tasks
        for seed in range(1000, 1006)  # the last is none of the scale's
    ]
    assert CONTROL.scaled(rows)(("Walker2d-v5", 32), 51.0) == pytest.approx(0.5)
    assert LANGUAGE.scaled([])(("GSM8kMini-v0", 0), 0.3) == 0.3


def test_what_was_run_on_more_seeds_is_chosen_among_first() -> None:
    scores = {0: {1000: 9.0}, 1: {1000: 1.0, 1001: 2.0}, 2: {1000: 2.0, 1001: 2.0}}
    assert best(scores) == [2, 1, 0]
    # Gaps of 1 and 0: mean ½, standard error ½.
    assert distance(scores[2], scores[1]) == pytest.approx(1.0)
    assert math.isnan(distance(scores[0], scores[1]))


def test_every_baseline_of_control_gets_the_same_effort() -> None:
    assert set(CONTROL.configs) <= set(registry.algorithms())
    for name in CONTROL.configs:
        cells = CONTROL.cells(Path("x"), name, [SEED])
        assert len({(cell.path, cell.spec.seed) for cell in cells}) == 24
        assert {cell.spec.protocol.phase_steps for cell in cells} == {search.SUITE.protocol(0).phase_steps}


def test_every_algorithm_of_language_gets_the_same_effort() -> None:
    domains = {name: registry.only_for(target) for name, target in registry.algorithms().items()}
    assert set(LANGUAGE.configs) == {name for name, own in domains.items() if not own or DOMAIN.name in own}
    for name, values in LANGUAGE.configs.items():
        cls = registry.load(registry.algorithms()[name])
        configs = {json.dumps(make_config(cls.Config, cls.preset(DOMAIN.name), own), default=vars) for own in values}
        assert len(configs) == 4
    planned = LANGUAGE.cells(Path("x"), "topr", [SEED])
    assert [cell.spec.protocol.lag for cell in planned].count(64) == 4
    assert {(cell.spec.phases, cell.spec.task_options["test"]) for cell in planned} == {(320, "held-out")}
    assert all(cell.spec.protocol == SUITE.protocol(cell.spec.protocol.lag) for cell in planned)
    assert all(SUITE.data["task_options"].items() <= cell.spec.task_options.items() for cell in planned)


def small_control(_: Path) -> Search:
    def options(lag: int) -> dict[str, Any]:
        return {**CONTROL.options(lag), "budget": 2048}

    configs = {"ppo": CONTROL.configs["ppo"][:2]}
    scale = ({"learning_rate": 3e-4, "clip": 0.2}, [1000])
    return replace(CONTROL, tasks=["Hopper-v5"], lags=[0], configs=configs, options=options, scale=scale)


def small_language(directory: Path) -> Search:
    task_options = {"data": str(make_data(directory / "data")), "model": str(make_model(directory / "model"))}
    task_options |= {"prompt": "plain", "max_new_tokens": "4", "test": "held-out"}

    def options(lag: int) -> dict[str, Any]:
        return {**LANGUAGE.options(lag), "budget": 48, "eval_episodes": 1, "task_options": task_options}

    configs = {"gspo": LANGUAGE.configs["gspo"][:2]}
    return replace(LANGUAGE, tasks=["GSM8k-v0"], lags=[2], configs=configs, options=options)


@pytest.mark.parametrize(
    ("made", "head", "parameter"),
    [
        (small_control, "| algorithm | learning rate | parameter | Hopper-v5, lag 0 | score | lead |", "clip 0.1"),
        (small_language, "| algorithm | learning rate | parameter | lag 2 | both | lead |", "clip 0.0003, clip_high"),
    ],
)
def test_it_goes_on_from_its_table(
    made: Any, head: str, parameter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MORE_SEEDS", (1001,))
    arguments = ["-o", str(tmp_path / "runs"), "--results", str(tmp_path / "kept.arrow"), "-q", "-j", "1"]
    main = command(made(tmp_path), "small")
    first = CliRunner().invoke(main, arguments)
    assert first.exit_code == 0, first.output
    there, _, *lines = first.stdout.splitlines()
    assert there == head
    assert len(lines) == 2
    assert parameter in lines[0]
    kept = results.read(tmp_path / "kept.arrow")
    assert sorted(row["seed"] for row in kept) == [1000, 1000, 1001, 1001]
    shutil.rmtree(tmp_path / "runs")
    assert CliRunner().invoke(main, arguments).stdout == first.stdout
    assert not (tmp_path / "runs").exists()
