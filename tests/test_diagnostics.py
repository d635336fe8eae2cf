"""What the harness measures, against sums over the valid rows written out in NumPy."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lagbench import diagnostics
from lagbench.policies.base import PolicyOutput
from lagbench.rollout import Rollout

T, N, VERSION = 7, 5, 9
# Measured elsewhere: by the actors, the optimizer and the loop.
ELSEWHERE = {"learning_rate", "reward_scale", "logprob_mismatch_max", "normalizer_drift"}


def draw(seed: int) -> Tensor:
    return 0.3 * torch.randn(T, N, generator=torch.Generator().manual_seed(seed))


def junk(x: Tensor, valid: Tensor) -> Tensor:
    """``x`` with NaN in the rows that do not count."""
    return torch.where(valid, x, torch.full((), float("nan")))


def made(value: Tensor | None = None, value_target: Tensor | None = None) -> Rollout:
    valid = torch.rand(T, N, generator=torch.Generator().manual_seed(0)) > 0.25
    assert 0 < int((~valid).sum()) < T * N
    behaviour = draw(1) - 2
    flags = torch.zeros(T, N, dtype=torch.bool)
    rollout = Rollout(
        observation=torch.zeros(T + 1, N, 2, dtype=torch.float64),
        action=torch.zeros(T, N, 1),
        reward=torch.zeros(T, N),
        terminated=flags,
        truncated=flags,
        valid=valid,
        behaviour_version=torch.tensor([9, 8, 5, 9, 1]).expand(T, N),
        behaviour_log_prob=junk(behaviour, valid),
        proximal_log_prob=junk(behaviour + draw(2), valid),
    )
    if value is not None:
        rollout = rollout.replace(value=value)
    return rollout if value_target is None else rollout.replace(value_target=value_target)


def after(rollout: Rollout) -> PolicyOutput:
    log_prob = torch.nan_to_num(rollout.behaviour_log_prob, nan=-2.0) + draw(3)
    return PolicyOutput(junk(log_prob, rollout.valid), draw(4) + 1, draw(5), draw(6))


def test_every_name_is_measured_once() -> None:
    assert len(set(diagnostics.NAMES)) == len(diagnostics.NAMES)
    rollout = made()
    assert set(diagnostics.diagnose(rollout, after(rollout), VERSION)) == set(diagnostics.NAMES) - ELSEWHERE


def test_the_values_are_those_of_sums_over_the_valid_rows() -> None:
    rollout = made(value=draw(7), value_target=2 * draw(7) + 0.1 * draw(9))
    final = after(rollout)
    row = diagnostics.diagnose(rollout, final, VERSION)
    keep = rollout.valid.numpy()

    def rows(x: Tensor) -> Any:
        return x.double().numpy()[keep]

    beta, pi, proximal = rows(rollout.behaviour_log_prob), rows(final.log_prob), rows(rollout.proximal_log_prob)
    rho, w = np.exp(pi - beta), np.exp(proximal - beta)
    lag = np.broadcast_to(VERSION - np.array([9, 8, 5, 9, 1]), (T, N))[keep]
    target, value = rows(rollout.value_target), rows(rollout.value)
    log_w = (rollout.proximal_log_prob - rollout.behaviour_log_prob).double().numpy()
    whole = np.exp(np.where(keep, log_w, 0.0).sum(0))
    expected = {
        "backward_lag_mean": lag.mean(),
        "backward_lag_max": lag.max(),
        "tv": np.abs(rho - 1).mean() / 2,
        "tv_backward": np.abs(w - 1).mean() / 2,
        "tv_forward": np.abs(rho - w).mean() / 2,
        "kl": (rho - 1 - np.log(rho)).mean(),
        "ess": w.sum() ** 2 / (len(w) * (w**2).sum()),
        "entropy": rows(final.entropy).mean(),
        "explained_variance": 1 - (target - value).var(ddof=1) / target.var(ddof=1),
        "valid_fraction": keep.mean(),
        "ess_sequences": whole.sum() ** 2 / (N * (whole**2).sum()),
        **{f"ratio_q{q:02d}": np.exp(np.quantile(pi - beta, q / 100, method="nearest")) for q in (1, 50, 99)},
    }
    assert row == {name: pytest.approx(value, rel=1e-5) for name, value in expected.items()}
    assert all(type(x) is float for x in row.values())


def test_without_a_critic_or_a_target_there_is_no_explained_variance() -> None:
    for rollout in (made(), made(value=draw(7))):
        assert math.isnan(diagnostics.diagnose(rollout, after(rollout), VERSION)["explained_variance"])


def test_a_policy_that_did_not_move_has_no_forward_lag() -> None:
    rollout = made()
    stayed = PolicyOutput(rollout.proximal_log_prob, draw(4), None, None)
    row = diagnostics.diagnose(rollout, stayed, VERSION)
    assert row["tv_forward"] == 0
    assert row["tv"] == row["tv_backward"] > 0


def test_drift_is_the_divergence_between_two_policies_on_the_behaviour_policys_samples() -> None:
    rollout = made()
    before = after(rollout)
    moved = PolicyOutput(before.log_prob + draw(7), before.entropy, None, None)
    keep = rollout.valid.numpy()
    beta, a, b = (x.double().numpy()[keep] for x in (rollout.behaviour_log_prob, before.log_prob, moved.log_prob))
    expected = np.abs(np.exp(b - beta) - np.exp(a - beta)).mean() / 2
    assert diagnostics.drift(rollout, before, moved) == pytest.approx(expected, rel=1e-5)
    assert diagnostics.drift(rollout, before, before) == 0
