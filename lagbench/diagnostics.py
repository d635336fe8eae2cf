"""Diagnostics that the harness measures in every phase, for every algorithm."""

from __future__ import annotations

import torch
from torch import Tensor

from lagbench import divergence
from lagbench.domain import Domain, known
from lagbench.policies.base import PolicyOutput
from lagbench.rollout import Rollout

NAMES = (
    "backward_lag_mean",
    "backward_lag_max",
    "tv",
    "tv_backward",
    "tv_forward",
    "kl",
    "ess",
    "entropy",
    "explained_variance",
    "learning_rate",
    "reward_scale",
    "valid_fraction",
    "logprob_mismatch_max",
    "normalizer_drift",
    "ess_sequences",
    "ratio_q01",
    "ratio_q50",
    "ratio_q99",
)
ASYNCHRONOUS = (
    "backward_lag_p95",
    "backward_lag_updates_mean",
    "backward_lag_updates_p95",
    "backward_lag_updates_max",
    "segments_dropped",
)
"""Further diagnostics of asynchronous runs: lag in optimizer updates, and lost segments of processes that died."""
RESERVED = frozenset((*NAMES, *ASYNCHRONOUS)).union(*(domain.diagnostics for domain in known().values()))
"""Metric names that algorithms may not use, in any domain."""


def names(domain: Domain, asynchronous: bool = False) -> tuple[str, ...]:
    """The diagnostics of every phase in a domain: columns of ``phases``, in order."""
    return (*NAMES, *domain.diagnostics, *(ASYNCHRONOUS if asynchronous else ()))


@torch.no_grad()
def diagnose(rollout: Rollout, final: PolicyOutput, version: int) -> dict[str, float]:
    """Diagnostics of a phase over all its valid samples, after its last update.

    Args:
        rollout: the phase's rollout, with proximal log-probabilities and the values at the start of the phase.
        final: the policy after the last update, on it.
        version: the learner's version at the start of the phase.

    ``tv``, ``kl``: of the policy after the updates to β. ``tv_backward``: of π_T to β. ``tv_forward``: of the policy
    after the updates to π_T. ``ess``: of w = π_T/β; ``ess_sequences``: of its products over whole sequences.
    ``ratio_q…``: quantiles of ρ, of the policy after the updates to β. ``explained_variance``: of the value targets by
    the critic at the start of the phase; NaN without a critic or where no value target was set.
    """
    valid = rollout.valid
    log_ratio = final.log_prob - rollout.behaviour_log_prob
    log_w = rollout.proximal_log_prob - rollout.behaviour_log_prob
    lag = (version - rollout.behaviour_version)[valid].double()
    explained = torch.tensor(float("nan"))
    if rollout.has("value") and rollout.has("value_target"):
        target, value = rollout.value_target[valid], rollout.value[valid]
        explained = 1 - (target - value).var() / target.var()
    row: dict[str, Tensor | float] = {
        "backward_lag_mean": lag.mean(),
        "backward_lag_max": lag.max(),
        "tv": divergence.tv(log_ratio, valid=valid),
        "tv_backward": divergence.tv(log_w, valid=valid),
        "tv_forward": divergence.tv(log_ratio, log_w, valid=valid),
        "kl": divergence.kl(log_ratio, valid=valid),
        "ess": divergence.ess(log_w, valid=valid),
        "entropy": rollout.mean(final.entropy),
        "explained_variance": explained,
        "valid_fraction": valid.double().mean(),
        "ess_sequences": divergence.ess(rollout.sequences(log_w)),
        **_quantiles(log_ratio[valid]),
    }
    return {name: float(x) for name, x in row.items()}


def _quantiles(log_ratio: Tensor) -> dict[str, float]:
    """Quantiles of the ratio by name, by nearest rank: an infinite value does not affect other quantiles."""
    found = log_ratio.double().sort().values.exp()
    return {f"ratio_q{q:02}": float(found[round(q / 100 * (len(found) - 1))]) for q in (1, 50, 99)}


@torch.no_grad()
def drift(rollout: Rollout, before: PolicyOutput, after: PolicyOutput) -> float:
    """``normalizer_drift``: TV between the policy before and after its normalizer's update, on β's samples."""
    return float(
        divergence.tv(
            after.log_prob - rollout.behaviour_log_prob,
            before.log_prob - rollout.behaviour_log_prob,
            valid=rollout.valid,
        )
    )
