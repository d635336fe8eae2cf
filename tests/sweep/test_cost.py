"""Estimates: in proportion, for the tasks whose cost is known."""

import dataclasses
from typing import Any

import pytest

from lagbench import registry, suites
from lagbench.sweep import cost
from lagbench.tasks.registration import register_task


def test_they_grow_with_what_costs_time() -> None:
    budget = 1_000_000
    spec = suites.resolve(budget=budget, eval_episodes=4)
    seconds = cost.seconds(spec)
    assert seconds is not None
    longer = cost.seconds(dataclasses.replace(spec, budget=10 * budget))
    assert longer is not None
    assert longer / seconds == pytest.approx(10, rel=0.1)
    costlier: list[dict[str, Any]] = [{"task": "Humanoid-v5"}, {"updates": 160}, {"eval_episodes": 100}]
    for more in costlier:
        other = cost.seconds(suites.resolve(**{"budget": budget, "eval_episodes": 4, **more}))
        assert other is not None
        assert other > 1.3 * seconds
    # One that makes fewer updates of its own takes less time.
    fewer = cost.seconds(suites.resolve(budget=budget, eval_episodes=4, config={"updates": 8}))
    assert fewer is not None
    assert fewer < 0.7 * seconds


def test_both_modes_of_an_evaluation_are_counted() -> None:
    """Ten more evaluations of twenty episodes and ten: 300 of Hopper, a thousand steps each."""
    seldom, often = (suites.resolve(budget=100_000, eval_intervals=n) for n in (1, 11))
    before, after = cost.seconds(seldom), cost.seconds(often)
    assert before is not None
    assert after is not None
    assert after - before == pytest.approx(300 * 1000 * 60e-6)


def test_hours_are_those_of_all() -> None:
    spec = suites.resolve(budget=100_000)
    seconds = cost.seconds(spec)
    assert seconds is not None
    assert cost.hours([spec] * 36) == pytest.approx(seconds / 100)
    assert cost.hours([]) == 0


def test_every_task_of_ours_has_a_cost() -> None:
    for task in registry.task_ids():
        if task.endswith(("-v4", "-v5")):
            assert cost.seconds(suites.resolve(task=task)), task


def test_an_unknown_cost_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))
    register_task("Pendulum-v1")
    spec = suites.resolve(task="Pendulum-v1")
    assert cost.seconds(spec) is None
    assert cost.hours([suites.resolve(), spec]) is None
