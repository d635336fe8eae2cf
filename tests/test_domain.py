"""The two domains are data."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lagbench
from lagbench import domain
from lagbench.check import check
from lagbench.errors import UsageError
from lagbench.protocol import Protocol


def test_the_domains_are_found_by_name() -> None:
    assert domain.get("control") is domain.CONTROL
    assert domain.get("language") is domain.LANGUAGE
    assert set(domain.DOMAINS) == {"control", "language"}


def test_an_unknown_domain_names_the_nearest() -> None:
    with pytest.raises(
        UsageError, match=r"unknown domain 'contrl'; did you mean 'control'\? Known: control, language\."
    ):
        domain.get("contrl")


@pytest.mark.parametrize("name", sorted(domain.DOMAINS))
def test_a_domains_defaults_are_a_protocol_within_its_budget(name: str) -> None:
    d = domain.get(name)
    protocol = Protocol.resolve(
        forward=d.forward, minibatch=d.minibatch, actors=d.actors, phase_steps=d.phase_steps, lag=8
    )
    assert d.budget >= 100 * protocol.samples
    assert dataclasses.is_dataclass(d)
    assert d.actors_class.count(":") == 1


def test_only_controls_log_probabilities_can_be_had_again_exactly() -> None:
    assert domain.CONTROL.exact_log_prob
    assert not domain.LANGUAGE.exact_log_prob


THIRD = """
import dataclasses
from lagbench.domain import CONTROL
from lagbench.synthetic import ControlWorld
from lagbench.tasks import mujoco

TOY = dataclasses.replace(CONTROL, name="toy", budget_unit="toy steps", diagnostics=(), world="toys:World")

class World(ControlWorld):
    domain = TOY

def task(task_id, **options):
    return dataclasses.replace(mujoco.task("InvertedPendulum-v5", **options), domain=TOY)
"""


def test_a_package_brings_a_third(
    install: Callable[[str, str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tasks run like any, with the algorithms that are for all; those for language alone are refused."""
    install("toys", THIRD, "[lagbench.domains]\ntoy = toys:TOY\n[lagbench.tasks]\nToy-v0 = toys:task\n")
    monkeypatch.chdir(tmp_path)
    assert domain.get("toy").budget_unit == "toy steps"
    options: dict[str, Any] = {"actors": 2, "phase_steps": 8, "minibatch": 16, "budget": 32, "eval_episodes": 1}
    run = lagbench.run(task="Toy-v0", algo="ppo", eval_intervals=1, **options)
    assert (run.status, run.spec.domain.name) == ("completed", "toy")
    with pytest.raises(UsageError, match="gspo is for language only, but Toy-v0 is a toy task; choose another"):
        lagbench.resolve(task="Toy-v0", algo="gspo", **options)
    with pytest.raises(UsageError, match="unknown domain 'toi'; did you mean 'toy'"):
        domain.get("toi")
    report = check("ppo")
    assert report.passed
    assert len([one for one in report.checks if one.domain == "toy"]) == 8
    assert "toy" not in {one.domain for one in check("gspo").checks}
