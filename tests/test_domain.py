"""The two domains are data."""

import dataclasses

import pytest

from lagbench import domain
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
