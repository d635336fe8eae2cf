"""Divergences between two policies, estimated on samples of the behaviour policy β.

`log_ratio` is the log of ρ = π/β at the sampled actions (or of w = π_T/β, with π_T in place of π). Every function takes
tensors of any shape and returns a scalar over the valid samples; the contents of other samples, including NaN, affect
neither the result nor its gradient.
"""

import torch
from torch import Tensor

__all__ = ["ess", "kl", "tv"]


def tv(log_ratio: Tensor, log_reference: Tensor | None = None, valid: Tensor | None = None) -> Tensor:
    """Total variation between π and β, or between π and another policy.

    TV(π, β) is half the sum over actions of |π - β|, which is ½·mean|ρ - 1| under β. With `log_reference`, the log of w
    = π_T/β, TV(π, π_T) is ½·mean|ρ - w|: the samples are still β's. ½·mean|π/π_T - 1| over them differs unless β = π_T,
    because it weights actions by β where the definition weights them by π_T.

    An estimate on a finite sample is at least 0 and may exceed 1, which the distance itself cannot.

    Args:
        log_ratio: log ρ, any shape.
        log_reference: log w, the same shape; without it the distance is from β.
        valid: bool, the same shape; without it every sample counts.

    Returns:
        A scalar.

    Raises:
        ValueError: if shapes or dtypes do not fit, or no sample is valid.
    """
    mask = _mask(log_ratio, valid)
    if log_reference is None:
        difference = torch.expm1(_select(log_ratio, mask))
    else:
        if log_reference.shape != log_ratio.shape or log_reference.dtype != log_ratio.dtype:
            raise ValueError(
                "log_reference must have log_ratio's shape and dtype; got "
                f"{list(log_reference.shape)} {log_reference.dtype} for {list(log_ratio.shape)} {log_ratio.dtype}"
            )
        difference = _select(log_ratio, mask).exp() - _select(log_reference, mask).exp()
    return 0.5 * _mean(difference.abs(), mask)


def kl(log_ratio: Tensor, valid: Tensor | None = None) -> Tensor:
    """Kullback-Leibler divergence KL(β‖π), as mean(ρ - 1 - log ρ).

    -mean(log ρ) estimates the same; adding ρ - 1, whose mean under β is 0, makes every term at least 0 and reduces the
    variance for similar policies.

    Args:
        log_ratio: log ρ, any shape.
        valid: bool, the same shape; without it every sample counts.

    Returns:
        A scalar, at least 0.

    Raises:
        ValueError: if shapes or dtypes do not fit, or no sample is valid.
    """
    mask = _mask(log_ratio, valid)
    log_rho = _select(log_ratio, mask)
    # expm1 keeps the digits that ρ - 1 loses near 1.
    return _mean(torch.expm1(log_rho) - log_rho, mask)


def ess(log_ratio: Tensor, valid: Tensor | None = None) -> Tensor:
    """Effective sample size as a share of the samples, (Σw)²/(n·Σw²).

    1 if all ratios are equal, 1/n if one sample has all the weight: the share of the data that remains effective after
    weighting.

    Args:
        log_ratio: log w, any shape.
        valid: bool, the same shape; without it every sample counts.

    Returns:
        A scalar in (0, 1].

    Raises:
        ValueError: if shapes or dtypes do not fit, or no sample is valid.
    """
    mask = _mask(log_ratio, valid)
    # A common factor of the weights cancels; with the largest at 1 neither sum overflows nor vanishes.
    log_w = log_ratio if mask is None else torch.where(mask, log_ratio, -torch.inf)
    w = (log_w - log_w.detach().amax()).exp()
    # Rounding can leave a little more than 1.
    return (_mean(w, mask).square() / _mean(w.square(), mask)).clamp(max=1.0)


def _mask(log_ratio: Tensor, valid: Tensor | None) -> Tensor | None:
    """Check the inputs and return `valid`, or None where every sample counts."""
    if not log_ratio.is_floating_point():
        raise ValueError(f"log_ratio must be floating; got {log_ratio.dtype}")
    if valid is not None and valid.shape != log_ratio.shape:
        raise ValueError(f"valid must have log_ratio's shape; got {list(valid.shape)} for {list(log_ratio.shape)}")
    if valid is not None and valid.dtype != torch.bool:
        raise ValueError(f"valid must be bool; got {valid.dtype}")
    if log_ratio.numel() == 0 or (valid is not None and not bool(valid.any())):
        raise ValueError(f"a divergence needs at least one valid sample; got none of {log_ratio.numel()}")
    return valid


def _select(x: Tensor, mask: Tensor | None) -> Tensor:
    """Put 0, the log of a ratio of 1, at samples that do not count: before any exp, so that gradients stay finite."""
    return x if mask is None else torch.where(mask, x, torch.zeros_like(x))


def _mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the samples that count; x is 0 elsewhere."""
    return x.mean() if mask is None else x.sum() / mask.sum()
