"""Memory budgets of sampling and learning with a language model."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

_GIB = 1 << 30
_MEASURED = 32  # tokens of a completion; extrapolated for longer ones


class Budget(NamedTuple):
    """Bytes in addition to the weights.

    Attributes:
        logits: logits at a time; computing them takes a few times as much.
        kept: activations kept for the gradient.
        cache: keys and values while sampling.
    """

    logits: int
    kept: int
    cache: int


# Constant, since a run on a CPU must be reproducible whatever else the machine does.
_ON_CPU = Budget(1 << 28, 2 * _GIB, _GIB)


def budget(device: torch.device, weights: int, asked: float) -> Budget:
    """The memory budget.

    Args:
        device: the model's device.
        weights: the model's size, in bytes.
        asked: GiB in total; 0: a constant on a CPU, elsewhere the free memory less what a run needs in addition to the
            weights: gradient, the optimizer's two moments and the acting version's weights.
    """
    if asked:
        total = int(asked * _GIB)
    elif device.type == "cpu":
        return _ON_CPU
    else:
        own = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + own
        total = max(free - 4 * weights, free // 8)
    # Computing logits takes up to five copies of them.
    return Budget(min(total // 20, _GIB), total // 2, total // 2)


def kept(compute: Callable[[Tensor], Tensor], model: nn.Module, longest: int) -> tuple[float, float]:
    """The bytes that a completion of n tokens keeps for its gradient, a·n + b·n², as (a, b).

    Measured by calling ``compute`` with the tokens of one short completion [1, n], n ≤ ``longest``.
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
        output = compute(tokens)  # kept alive until all is counted, so that no memory is counted twice
    del output
    return sum(sizes.values())
