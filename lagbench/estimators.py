"""Estimators of values and advantages: pure functions of tensors, time first.

Every function of a rollout takes tensors of shape `[T, N]` (any further shape may follow) whose row t + 1 holds the
true successor of row t, unless row t ended its episode. Three kinds of ends are distinguished:

- *termination*: the episode is over; the value after it is 0 and `next_value` is not used;
- *truncation* (a time limit): the episode would have continued; `next_value`, the value of the true final observation,
  replaces the remaining return;
- the end of the rollout: as truncation.

If both flags are set the episode terminated. Invalid rows (the step that EnvPool spends on an automatic reset, padding)
come after a row that ended its episode. No earlier row uses them, so they may contain anything, including NaN; results
at such rows are meaningless.

Results are constants with respect to the loss: no gradient flows through these functions.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

__all__ = ["VTrace", "gae", "group_relative", "standardize", "vtrace"]

_EPSILON = 1e-8


class VTrace(NamedTuple):
    """The result of `vtrace`; the advantage is `q - value`.

    Attributes:
        value_target: v, the critic's regression target, `[T, N]`.
        q: the estimated value of the action taken, without a weight for the action itself, `[T, N]`.
    """

    value_target: Tensor
    q: Tensor


@torch.no_grad()
def vtrace(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    lam: float,
    log_ratio: Tensor,
    rho_bar: float = 1.0,
    c_bar: float = 1.0,
) -> VTrace:
    """V-trace with λ: values and action values of one policy from the data of another.

    With w the ratio of the policy to be evaluated to the behaviour policy, V' the value of the true next observation,
    and `continues` 1 unless the row terminated, was truncated or is the last:

        rho = min(rho_bar, w)    c = lam * min(c_bar, w)
        delta = rho * (R + gamma * (1 - terminated) * V' - V)
        e_t = delta_t + gamma * continues_t * c_t * e_{t+1}
        v = V + e
        q_t = R_t + gamma * ((1 - terminated_t) * V'_t + continues_t * lam * e_{t+1})

    Truncation at `rho_bar` determines which policy's values are estimated, truncation at `c_bar` only how far errors
    propagate back. The action value is usually written with λ v_{t+1} + (1 - λ) V_{t+1}, which is V_{t+1} + λ e_{t+1};
    where the episode continues V_{t+1} is V'_t, so one expression is valid at every row, including ends.

    The weight of the action itself is not in `q`: the advantage `q - value` may be multiplied by a ratio once. With
    w = 1 everywhere, `q - value` is GAE(λ); with `rho_bar = c_bar = 1` it is the estimator of GePPO.

    Papers: Espeholt et al. 2018 (V-trace); Queeney et al. 2021 (GePPO); Schulman et al. 2016 (GAE).

    Args:
        reward: R, `[T, N]`.
        value: V, value of the observation that was acted on, `[T, N]`.
        next_value: V', value of the true next observation, the final one included, `[T, N]`.
        terminated: bool, `[T, N]`.
        truncated: bool, `[T, N]`.
        gamma: discount, in [0, 1].
        lam: λ, in [0, 1].
        log_ratio: log w, log-probability of the action now minus that at the time of acting, `[T, N]`.
        rho_bar: bound of the weight on the temporal differences, positive; may be infinite.
        c_bar: bound of the weight on the traces, positive; may be infinite.

    Returns:
        Value targets and action values, `[T, N]` each.

    Raises:
        ValueError: if shapes or dtypes differ, flags are not bool, or a number is out of its range.
    """
    _check_rows(reward, terminated, truncated, value=value, next_value=next_value, log_ratio=log_ratio)
    _check_unit_interval(gamma=gamma, lam=lam)
    if not (rho_bar > 0 and c_bar > 0):
        raise ValueError(f"rho_bar and c_bar must be positive; got rho_bar={rho_bar}, c_bar={c_bar}")

    # Clipped weights.
    weight = log_ratio.exp()
    rho = weight.clamp(max=rho_bar)
    c = lam * weight.clamp(max=c_bar)

    # Temporal differences. Selected, not multiplied by 0: a value that is not read may be NaN.
    zero = value.new_zeros(())
    one_step = reward + torch.where(terminated, zero, gamma * next_value)
    delta = rho * (one_step - value)

    # Backward in time: what follows an end may be NaN too.
    continues = ~(terminated | truncated)
    error = delta.clone()
    later = value.new_zeros(value.shape[1:])
    rows = list(zip(error.unbind(), (gamma * c).unbind(), continues.unbind(), strict=True))
    for error_t, decay_t, continues_t in reversed(rows):
        later = error_t.addcmul_(decay_t, torch.where(continues_t, later, zero))

    # e_{t+1} where row t continues, 0 where it does not.
    later_error = torch.zeros_like(error)
    later_error[:-1] = torch.where(continues[:-1], error[1:], zero)

    return VTrace(value_target=value + error, q=one_step + gamma * lam * later_error)


@torch.no_grad()
def gae(
    reward: Tensor,
    value: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: float,
    lam: float,
) -> Tensor:
    """Generalized advantage estimation: temporal differences, summed with weights (γλ)^k up to the end of the episode.

    λ trades bias for variance: 0 trusts the critic after one step, 1 trusts only rewards. No importance ratios are
        used: on data of another policy this is the advantage of that policy. Value targets are `advantage + value`.

    Paper: Schulman et al. 2016.

    Args:
        reward: R, `[T, N]`.
        value: V, value of the observation that was acted on, `[T, N]`.
        next_value: V', value of the true next observation, the final one included, `[T, N]`.
        terminated: bool, `[T, N]`.
        truncated: bool, `[T, N]`.
        gamma: discount, in [0, 1].
        lam: λ, in [0, 1].

    Returns:
        Advantages, `[T, N]`.

    Raises:
        ValueError: if shapes or dtypes differ, flags are not bool, or a number is out of its range.
    """
    _check_rows(reward, terminated, truncated, value=value, next_value=next_value)
    _check_unit_interval(gamma=gamma, lam=lam)

    # The critic's value of the rest of the episode.
    future = (gamma * next_value).masked_fill(terminated, 0.0)
    delta = reward + future - value

    # Backward in time, restarting at every end.
    advantage = delta.clone()
    following = delta.new_zeros(delta.shape[1:])
    rows = list(zip(advantage.unbind(), (terminated | truncated).unbind(), strict=True))
    for advantage_t, ended_t in reversed(rows):
        following = advantage_t.add_(following.masked_fill(ended_t, 0.0), alpha=gamma * lam)
    return advantage


@torch.no_grad()
def group_relative(outcome: Tensor, group: Tensor, *, scale: bool = False) -> Tensor:
    """Group-relative advantage, without a critic: each outcome minus the mean outcome of its group.

    The mean over several completions of one prompt is a baseline. A group whose outcomes are all equal gives exactly 0,
    scaled or not.

    Paper: Shao et al. 2024 (GRPO), with scaling; without it all prompts have the same weight.

    Args:
        outcome: reward of each completion, `[n]`.
        group: integer, the group that each completion belongs to, in any order, `[n]`.
        scale: divide by the group's standard deviation (of the population, plus 1e-8).

    Returns:
        Advantages, `[n]`.

    Raises:
        ValueError: if shapes are not equal and one-dimensional, `outcome` is not floating or `group` not integer.
    """
    if outcome.ndim != 1 or group.shape != outcome.shape:
        raise ValueError(
            f"outcome and group must have one shape [n]; got outcome {_shape(outcome)}, group {_shape(group)}"
        )
    if not outcome.is_floating_point():
        raise ValueError(f"outcome must be floating; got {outcome.dtype}")
    if group.is_floating_point() or group.is_complex() or group.dtype == torch.bool:
        raise ValueError(f"group must be integer; got {group.dtype}")

    # Groups, numbered from 0.
    names, index, count = torch.unique(group, return_inverse=True, return_counts=True)
    size = count.to(outcome.dtype)
    empty = outcome.new_zeros(names.shape)

    # Relative to the group's minimum, so that equal outcomes give exactly 0.
    shifted: Tensor = outcome - empty.scatter_reduce(0, index, outcome, "amin", include_self=False)[index]
    advantage: Tensor = shifted - (empty.index_add(0, index, shifted) / size)[index]

    if scale:
        std = (empty.index_add(0, index, advantage.square()) / size).sqrt()
        advantage = advantage / (std + _EPSILON)[index]
    return advantage


@torch.no_grad()
def standardize(x: Tensor, valid: Tensor | None = None, *, mode: Literal["full", "scale", "none"] = "full") -> Tensor:
    """Standardize advantages over valid entries.

    `full` is (x - mean)/(std + 1e-8), `scale` is x/(std + 1e-8), which keeps the sign of every advantage, `none` is x.
    The standard deviation is that of the sample (divisor n - 1), as in torch and CleanRL. A single entry is not scaled:
    it gives 0 with `full` and itself with `scale`. Equal entries give exactly 0 with `full`.

    Args:
        x: of any shape.
        valid: bool, of x's shape; other entries of x may contain anything. None if all are valid.
        mode: how to standardize.

    Returns:
        A tensor of x's shape; 0 wherever `valid` is false.

    Raises:
        ValueError: if shapes differ, `x` is not floating or `valid` not bool, the mode is unknown, or nothing is valid
            and the mode needs a mean.
    """
    if not x.is_floating_point():
        raise ValueError(f"x must be floating; got {x.dtype}")
    if mode not in ("full", "scale", "none"):
        raise ValueError(f"mode must be 'full', 'scale' or 'none'; got {mode!r}")
    if valid is None:
        return x if mode == "none" else _standardized(x, mode)
    if x.shape != valid.shape:
        raise ValueError(f"x and valid must have one shape; got x {_shape(x)}, valid {_shape(valid)}")
    if valid.dtype != torch.bool:
        raise ValueError(f"valid must be bool; got {valid.dtype}")
    if mode == "none":
        return torch.where(valid, x, x.new_zeros(()))
    if not valid.any():
        raise ValueError(f"standardize needs at least one valid entry; got none of {valid.numel()}")
    return torch.zeros_like(x).masked_scatter_(valid, _standardized(x[valid], mode))


def _standardized(x: Tensor, mode: Literal["full", "scale"]) -> Tensor:
    if not x.numel():
        raise ValueError("standardize needs at least one entry; got none")
    # Relative to the minimum, so that equal entries give exactly 0.
    shifted = x - x.amin()
    if x.numel() == 1:
        return shifted if mode == "full" else x
    std, mean = torch.std_mean(shifted)
    return (shifted.sub_(mean) if mode == "full" else x) / std.add_(_EPSILON)


def _check_rows(reward: Tensor, terminated: Tensor, truncated: Tensor, **others: Tensor) -> None:
    """Raise ValueError unless shapes [T, N, …] are equal, numbers have one floating dtype and flags are bool."""
    numbers = {"reward": reward, **others}
    flags = {"terminated": terminated, "truncated": truncated}
    every = {**numbers, **flags}
    if reward.ndim < 1 or any(x.shape != reward.shape for x in every.values()):
        listed = ", ".join(f"{name} {_shape(x)}" for name, x in every.items())
        raise ValueError(f"all inputs must have one shape, time first; got {listed}")
    if not reward.is_floating_point() or any(x.dtype != reward.dtype for x in numbers.values()):
        listed = ", ".join(f"{name} {x.dtype}" for name, x in numbers.items())
        raise ValueError(f"inputs must have one floating dtype; got {listed}")
    if any(x.dtype != torch.bool for x in flags.values()):
        listed = ", ".join(f"{name} {x.dtype}" for name, x in flags.items())
        raise ValueError(f"flags must be bool; got {listed}")


def _check_unit_interval(**numbers: float) -> None:
    """Raise ValueError for a number outside [0, 1]."""
    for name, number in numbers.items():
        if not 0.0 <= number <= 1.0:
            raise ValueError(f"{name} must be in [0, 1]; got {number}")


def _shape(x: Tensor) -> list[int]:
    """The shape as a list, for messages."""
    return list(x.shape)
