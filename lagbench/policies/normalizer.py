"""Running moments, and the observation normalizer that uses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

EPSILON = 1e-8
CLIP = 10.0


class RunningMoments(nn.Module):
    """Mean and population variance of all rows so far, in float64, merged batch by batch (Chan et al. 1979)."""

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("variance", torch.ones(shape, dtype=torch.float64))

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Update the moments with rows [n, *shape]."""
        if not len(x):
            return
        n = float(len(x))
        variance, mean = torch.var_mean(x.double(), dim=0, correction=0)
        delta = mean - self.mean
        total = self.count + n
        merged = self.variance * self.count + variance * n + delta.square() * (self.count * n / total)
        self.mean.add_(delta * (n / total))
        self.variance.copy_(merged / total)
        self.count.copy_(total)

    @property
    def inverse_std(self) -> Tensor:
        """1 / sqrt(variance + 1e-8), float64."""
        return inverse_std(self.variance)


class Normalizer(RunningMoments):
    """Normalizes observations to zero mean and unit variance, clipped to ±10, in float32. Part of a policy version."""

    def forward(self, observation: Tensor) -> Tensor:
        """Raw float64 observations [..., obs] → float32 of the same shape."""
        return normalize(observation, self.mean, self.inverse_std)


def inverse_std(variance: Tensor) -> Tensor:
    """1 / sqrt(variance + 1e-8)."""
    return torch.rsqrt(variance + EPSILON)


def normalize(observation: Tensor, mean: Tensor, inverse_std: Tensor) -> Tensor:
    """The formula with which learner and actors normalize; ``mean`` and ``inverse_std`` broadcast."""
    return ((observation - mean) * inverse_std).clamp_(-CLIP, CLIP).float()


def normalize_into(
    out: NDArray[np.float32],
    observation: NDArray[Any],
    mean: NDArray[np.float64],
    inverse_std: NDArray[np.float64],
    scratch: NDArray[np.float64],
) -> None:
    """``normalize`` for actors, on NumPy arrays of one shape: bitwise equal, without allocation."""
    np.subtract(observation, mean, out=scratch)
    np.multiply(scratch, inverse_std, out=scratch)
    np.maximum(scratch, -CLIP, out=scratch)
    np.minimum(scratch, CLIP, out=scratch)
    out[...] = scratch
