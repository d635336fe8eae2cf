"""Body and head, one after the other, are the model: whatever it does to what its head gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from lagbench.policies import halves
from lagbench.policies.causal_lm import CausalLMPolicy
from lagbench.synthetic import TinyCausalLM
from tests.tasks.gsm8k.tiny import KINDS, make_model

TOKENS = torch.tensor([[5, 6, 7, 9]])


def made(path: Path, kind: str, **config: Any) -> Any:
    KINDS.setdefault(kind, KINDS["llama"])
    return AutoModelForCausalLM.from_pretrained(make_model(path / kind, kind=kind, **config)).eval()


# A plain head, one whose logits are capped, scaled, divided; states that recur.
@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("llama", {}),
        ("gemma2", {"final_logit_softcapping": 0.5, "head_dim": 8}),
        ("cohere", {"logit_scale": 0.25}),
        ("granite", {"logits_scaling": 3.0}),
        ("mamba", {}),
    ],
)
def test_halves_are_the_model(tmp_path: Path, kind: str, config: dict[str, Any]) -> None:
    model = made(tmp_path, kind, **config)
    assert halves.separable(model)
    whole = model(input_ids=TOKENS).logits
    states = halves.states(model, TOKENS, {}, autocast=False)
    torch.testing.assert_close(halves.logits(model, states[:, 2:]), whole[:, 2:])
    torch.testing.assert_close(model(input_ids=TOKENS).logits, whole, rtol=0, atol=0)  # the body is as it was


def test_a_model_that_has_no_halves(tmp_path: Path) -> None:
    """One of no library, one that goes round its body, one that does more than transformers says."""
    assert not halves.separable(TinyCausalLM(8, 8))
    assert not halves.separable(made(tmp_path, "bart"))
    model = made(tmp_path, "llama")
    model.register_forward_hook(lambda module, given, output: {**output, "logits": 2 * output.logits.abs()})
    assert not halves.separable(model)


def test_the_head_is_in_float32_where_the_body_is_not(tmp_path: Path) -> None:
    """Products of bfloat16 have 8 bits: two logits that differ by less would be one."""
    model = made(tmp_path, "llama")
    mask = TOKENS > 0
    full, half = (CausalLMPolicy(model, precision=x).logits(TOKENS, mask) for x in ("float32", "bfloat16"))
    assert half.dtype == torch.float32
    states = halves.states(model, TOKENS, {}, autocast=True)
    assert torch.equal(half, nn.functional.linear(states, model.lm_head.weight))
    assert 0 < float((half - full).detach().abs().max()) < 0.2
    assert not torch.equal(half, half.bfloat16().float())
