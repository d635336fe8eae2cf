"""A causal language model of transformers in two parts: body, tokens to hidden states, and head, states to logits."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

_TOLERANCE = 1e-4  # relative, of float32


class _Output:
    """A body's output for the head: the hidden states; all other attributes are None."""

    def __init__(self, states: Tensor) -> None:
        self.last_hidden_state = states

    def __getitem__(self, _: int) -> Tensor:
        return self.last_hidden_state

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def half_precision(device: torch.device, wanted: bool) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 if ``wanted``."""
    return torch.autocast(device.type, torch.bfloat16) if wanted else contextlib.nullcontext()


def states(model: nn.Module, tokens: Tensor, given: Mapping[str, Any], autocast: bool) -> Tensor:
    """The body's hidden states [n, length, width] for tokens [n, length], in float32 at least."""
    body: Any = model.base_model
    with half_precision(tokens.device, autocast):
        found: Tensor = body(input_ids=tokens, **given).last_hidden_state
    return found.float() if found.dtype in (torch.bfloat16, torch.float16) else found


def logits(model: nn.Module, states: Tensor) -> Tensor:
    """The model's logits for its body's states [n, length, width], including its scaling and soft-capping."""
    body: Any = model.base_model
    before = vars(body).get("forward")
    body.forward = lambda *_, **__: _Output(states)
    try:
        found: Tensor = model(input_ids=torch.zeros(states.shape[:2], dtype=torch.long, device=states.device)).logits
    finally:
        del body.forward
        if before is not None:
            body.forward = before
    return found


@torch.no_grad()
def separable(model: nn.Module) -> bool:
    """Whether body and head, one after the other, compute the same as the model: tried on two tokens."""
    if getattr(model, "base_model", model) is model:
        return False
    place = next(model.parameters()).device
    tokens = torch.arange(2, device=place).unsqueeze(0)  # not those that the head is given, which must not see them
    try:
        whole = model(input_ids=tokens).logits
        apart = logits(model, states(model, tokens, {}, autocast=False))
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:  # any error of the user's model
        return False
    return whole.shape == apart.shape and bool((whole - apart).abs().max() <= _TOLERANCE * whole.abs().max())
