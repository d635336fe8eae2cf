"""A causal language model of transformers as two halves: its body, tokens to states, and its head, states to logits."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

_TOLERANCE = 1e-4  # relative, of float32


class _Output:
    """What a body gives, as far as a head asks: the states. Of all else there is none."""

    def __init__(self, states: Tensor) -> None:
        self.last_hidden_state = states

    def __getitem__(self, _: int) -> Tensor:
        return self.last_hidden_state

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def half_precision(device: torch.device, wanted: bool) -> AbstractContextManager[Any]:
    """Autocast to bfloat16, where it is wanted."""
    return torch.autocast(device.type, torch.bfloat16) if wanted else contextlib.nullcontext()


def states(model: nn.Module, tokens: Tensor, given: Mapping[str, Any], autocast: bool) -> Tensor:
    """The states [n, length, width] that the body has after tokens [n, length], in float32 at least."""
    body: Any = model.base_model
    with half_precision(tokens.device, autocast):
        found: Tensor = body(input_ids=tokens, **given).last_hidden_state
    return found.float() if found.dtype in (torch.bfloat16, torch.float16) else found


def logits(model: nn.Module, states: Tensor) -> Tensor:
    """What the model makes of its body's states [n, length, width]: with its own scales and caps, whatever they are."""
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
    """Whether the two halves, one after the other, give what the model gives: tried on two tokens."""
    if getattr(model, "base_model", model) is model:
        return False
    place = next(model.parameters()).device
    tokens = torch.arange(2, device=place).unsqueeze(0)  # not what a head is given, which must not see them
    try:
        whole = model(input_ids=tokens).logits
        apart = logits(model, states(model, tokens, {}, autocast=False))
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception:  # whatever a model of somebody's does
        return False
    return whole.shape == apart.shape and bool((whole - apart).abs().max() <= _TOLERANCE * whole.abs().max())
