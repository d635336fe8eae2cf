"""How much may be in memory at once while a language model samples and learns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

_GIB = 1 << 30
_MEASURED = 32  # tokens of one completion; of longer ones it is extrapolated


class Budget(NamedTuple):
    """Bytes, beside the weights.

    Attributes:
        logits: of logits at a time; a few times that is taken while they are computed.
        kept: of what is kept for the gradient.
        cache: of keys and values while sampling.
    """

    logits: int
    kept: int
    cache: int


# A run on a CPU repeats bit for bit whatever else the machine does, so these follow from no state of it.
_ON_CPU = Budget(1 << 28, 2 * _GIB, _GIB)


def budget(device: torch.device, weights: int, asked: float) -> Budget:
    """What there is to use.

    Args:
        device: where the model is.
        weights: the model's size, in bytes.
        asked: GiB in all; 0: on a CPU always the same, elsewhere what is free now, less what a run has there beside
            the weights: gradient, the optimizer's two moments and the weights of the version that acts.
    """
    if asked:
        total = int(asked * _GIB)
    elif device.type == "cpu":
        return _ON_CPU
    else:
        own = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + own
        total = max(free - 4 * weights, free // 8)
    # While logits are computed there are up to five copies of them.
    return Budget(min(total // 20, _GIB), total // 2, total // 2)


def kept(compute: Callable[[Tensor], Tensor], model: nn.Module, longest: int) -> tuple[float, float]:
    """The bytes that one completion of n tokens keeps for its gradient: a·n + b·n², as (a, b).

    Measured on a few tokens, ``longest`` at most: ``compute`` is given those of one completion [1, n].
    """
    n = max(min(_MEASURED, longest) // 4, 1)
    one, two, four = (_kept(compute, model, times * n) for times in (1, 2, 4))
    square = max((four - two) / 2 - (two - one), 0) / (3 * n**2)
    return max((two - one) / n - 3 * n * square, 0), square


def _kept(compute: Callable[[Tensor], Tensor], model: nn.Module, length: int) -> int:
    weights = {x.data_ptr() for x in (*model.parameters(), *model.buffers())}
    sizes: dict[int, int] = {}

    def note(x: Tensor) -> Tensor:
        if x.data_ptr() not in weights:
            sizes[x.data_ptr()] = x.nbytes
        return x

    tokens = torch.zeros(1, length, dtype=torch.long, device=next(model.parameters()).device)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        output = compute(tokens)  # alive until all is counted, so that no memory is counted twice
    del output
    return sum(sizes.values())
