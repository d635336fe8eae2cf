"""What fits is counted from what a model keeps, and follows from the machine only where rows do not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lagbench.policies import memory
from lagbench.policies.memory import Budget

GIB = 1 << 30
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


class Attention(nn.Module):
    """Keeps of n tokens: their numbers (8n bytes), x [n, 4] (16n) and x·xᵀ [n, n] (4n²); the weights it has anyway."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(3, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        scores: Tensor = (x @ x.mT).exp()
        return scores


@pytest.mark.parametrize("longest", [3, 8, 1000])
def test_what_is_kept_for_the_gradient(longest: int) -> None:
    model = Attention()
    with torch.no_grad():
        linear, square = memory.kept(model, model, longest)
    assert (linear, square) == pytest.approx((24, 4))
    model.requires_grad_(False)
    assert memory.kept(model, model, longest) == (0, 0)


def test_what_there_is_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU the same everywhere; elsewhere half of what is free, with what torch holds of it, less the run's own."""
    for name, found in {"memory_reserved": 30 * GIB, "memory_allocated": 10 * GIB}.items():
        monkeypatch.setattr(torch.cuda, name, lambda _, found=found: found)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (84 * GIB, 140 * GIB))
    assert memory.budget(CPU, 1000 * GIB, 0) == memory.budget(CPU, 0, 0) == Budget(GIB // 4, 2 * GIB, GIB)
    assert memory.budget(CUDA, GIB, 0) == Budget(GIB, 50 * GIB, 50 * GIB)
    assert memory.budget(CUDA, 50 * GIB, 0).kept == 6.5 * GIB
    for device in (CPU, CUDA):
        assert memory.budget(device, GIB, 10) == Budget(GIB // 2, 5 * GIB, 5 * GIB)
