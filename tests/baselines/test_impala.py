"""IMPALA against a V-trace worked out by hand, gamma = lam = 1/2.

Rewards 1, 2; values 1, 2; next values 2, 4; ratios π/β of 2 and 1/2. From the last row:

    δ_1 = 1/2·(2 + 1/2·4 − 2) = 1            v_1 = 3       q_1 = 2 + 1/2·4 = 4                      A_1 = 2
    δ_0 = 1·(1 + 1/2·2 − 1) = 1
    e_0 = 1 + 1/2·1/2·1·1 = 5/4              v_0 = 9/4     q_0 = 1 + 1/2·(1/2·3 + 1/2·2) = 9/4      A_0 = 5/4
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lagbench import Rollout
from lagbench.baselines.impala import IMPALA
from tests.baselines.tables import CriticTable, Table, batch, loss_and_gradient, make, numbers

BETA = numbers(-1.0, -2.0).unsqueeze(1)
LOG_RATIO = numbers(2.0, 0.5).log().unsqueeze(1)
VALUE, NEXT_VALUE = numbers(1.0, 2.0).unsqueeze(1), numbers(2.0, 4.0).unsqueeze(1)
TARGET = [9 / 4, 3.0]


def data(**fields: Any) -> Rollout:
    """What the critic was at the start of the phase is no longer true: it must not be read."""
    reward = numbers(1.0, 2.0).unsqueeze(1)
    stale = torch.full_like(reward, 1e6)
    return batch(BETA, stale, reward=reward, value=stale, next_value=stale, value_target=stale, **fields)


def impala(log_ratio: Tensor = LOG_RATIO, **config: Any) -> IMPALA:
    policy = CriticTable(BETA + log_ratio, VALUE, NEXT_VALUE)
    return make(IMPALA, policy, **{"gamma": 0.5, "lam": 0.5, "standardize": "none", **config})


def test_loss_by_hand() -> None:
    """−(min(1, 2)·5/4·log π_0 + 1/2·2·log π_1)/2 + 1/2·((1 − 9/4)² + (2 − 3)²)/2."""
    algorithm = impala()
    loss, slope, metrics = loss_and_gradient(algorithm, data())
    log_pi = (BETA + LOG_RATIO).flatten().tolist()
    critic = 0.5 * ((1 - TARGET[0]) ** 2 + (2 - TARGET[1]) ** 2) / 2
    assert loss == pytest.approx(-(5 / 4 * log_pi[0] + log_pi[1]) / 2 + critic, rel=1e-12)
    # Nothing flows through the weight: the gradient in log π is −weight·A/2.
    assert slope.flatten().tolist() == pytest.approx([-5 / 8, -1 / 2], rel=1e-12)
    assert metrics == {"truncated_fraction": 0.5}


def test_the_critic_is_fitted_to_v_trace_alone() -> None:
    """d/dV of 1/2·(V − v)²/2 is (V − v)/2, without a gradient through the target or through V'."""
    algorithm = impala()
    policy = algorithm.policy
    assert isinstance(policy, CriticTable)
    loss, _ = algorithm.loss(data())
    value, following = torch.autograd.grad(loss, [policy.value, policy.next_value], allow_unused=True)
    assert value.flatten().tolist() == pytest.approx([-5 / 8, -1 / 2], rel=1e-12)
    assert following is None


def test_bounds_of_the_weights() -> None:
    """rho_bar 1/4 binds at both rows, c_bar does not reach back from the last row beyond c_0 = min(c_bar, 2)/2.

    δ_1 = 1/4·2 = 1/2, δ_0 = 1/4·1, e_0 = 1/4 + 1/2·(1/2·2)·1/2 = 1/2 with c_bar = 2; A_1 = 2, A_0 = 1 + 1/2·1/2·1/2 =
    9/8.
    """
    algorithm = impala(rho_bar=0.25, c_bar=2.0)
    policy = algorithm.policy
    assert isinstance(policy, CriticTable)
    _, slope, metrics = loss_and_gradient(algorithm, data())
    assert slope.flatten().tolist() == pytest.approx([-9 / 8 / 4 / 2, -2 / 4 / 2], rel=1e-12)
    assert metrics == {"truncated_fraction": 1.0}
    (value,) = torch.autograd.grad(algorithm.loss(data())[0], [policy.value])
    assert value.flatten().tolist() == pytest.approx([-1 / 4, -1 / 4], rel=1e-12)


def test_weights_and_targets_are_those_of_the_policy_as_it_is() -> None:
    """With ratios of 1 at the next update the advantages are GAE's and the weights 1."""
    algorithm = impala(torch.zeros_like(BETA))
    _, slope, _ = loss_and_gradient(algorithm, data())
    # δ = 1, 2; A_0 = 1 + 1/4·2.
    assert slope.flatten().tolist() == pytest.approx([-1.5 / 2, -2 / 2], rel=1e-12)


def test_advantages_are_scaled_over_the_minibatch() -> None:
    """5/4 and 2 have standard deviation 3/8·√2 (n − 1); scaled, not centred."""
    _, slope, _ = loss_and_gradient(impala(standardize="scale"), data())
    std = 3 / 8 * 2**0.5
    assert slope.flatten().tolist() == pytest.approx([-5 / 4 / std / 2, -2 * 0.5 / std / 2], rel=1e-6)


def test_takes_whole_sequences_for_one_epoch() -> None:
    assert IMPALA.minibatch == "sequences"
    assert IMPALA.Config().updates == 8  # of the default protocol: 2,048 samples in minibatches of 256
    assert IMPALA.Config().standardize == "scale"


def test_language_weighs_the_advantage_against_the_group() -> None:
    """−min(1, ρ)·A·log π of each token, / (2 completions × 2 tokens)."""
    beta, ratio = numbers(-1.0, -1.0).expand(2, 2), torch.stack([numbers(2.0, 0.5), numbers(0.25, 4.0)])
    advantage = numbers(0.5, -0.5).expand(2, 2)
    algorithm = make(IMPALA, Table(beta + ratio.log()), standardize="none")
    _, slope, _ = loss_and_gradient(algorithm, batch(beta, advantage, longest=2))
    expected = -ratio.clamp(max=1.0) * advantage / 4
    assert torch.allclose(slope, expected, rtol=1e-12)
