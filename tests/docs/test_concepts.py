"""Numbers in docs/concepts/ that can be computed again."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from lagbench import Protocol, divergence
from lagbench.lag.staleness import draw
from tests.docs.conftest import ROOT


def page(name: str) -> str:
    return " ".join((ROOT / f"docs/concepts/{name}.md").read_text(encoding="utf-8").split())


def test_an_actors_version_goes_back_as_often_as_is_said() -> None:
    found = re.search(
        r"In (\d+) phases of 32 actors .*? (\d+)% of the changes at L = 8 go back, and (\d+)% at L = 16",
        page("protocols"),
    )
    assert found
    phases, *shares = map(int, found.groups())
    for lag, share in zip((8, 16), shares, strict=True):
        protocol = Protocol.resolve(lag=lag, actors=32, phase_steps=64, minibatch=256)
        moved = np.diff([draw(protocol, 0, phase) for phase in range(phases)], axis=0)
        assert round(100 * (moved < 0).sum() / (moved != 0).sum()) == share
    assert f"{shares[0]}% of the changes at L = 8 do" in page("asynchrony")


def test_two_estimates_of_tv_differ_as_is_said() -> None:
    found = re.search(
        r"the distance is ([\d.]+); on two million samples ½·mean\|ρ − w\| gives ([\d.]+) and .* gives ([\d.]+)\.",
        page("estimators"),
    )
    assert found
    true, right, wrong = map(float, found.groups())
    beta, proximal, current = Normal(0.0, 1.0), Normal(1.5, 1.0), Normal(1.8, 1.0)
    # The densities of two Gaussians of one width cross half-way between their means.
    assert (2 * Normal(0.0, 1.0).cdf(torch.tensor(0.15)) - 1).item() == pytest.approx(true, abs=5e-4)
    action = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0))
    log_rho = current.log_prob(action) - beta.log_prob(action)
    log_w = proximal.log_prob(action) - beta.log_prob(action)
    assert divergence.tv(log_rho, log_w).item() == pytest.approx(right, abs=2e-3)
    assert divergence.tv(log_rho - log_w).item() == pytest.approx(wrong, abs=2e-3)
