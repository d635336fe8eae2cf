"""What a run would find out after minutes, found before it is begun."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from lagbench.errors import UsageError
from lagbench.policies import pretrained
from lagbench.policies.rehearsal import rehearse
from tests.tasks.gsm8k.tiny import make_model

PROMPT = (5, 6, 7, 9, 11, 2, 8)


@pytest.mark.parametrize("kind", ["llama", "mamba", "qwen3_5_text", "gemma4_text"])
def test_models_that_can(tmp_path: Path, kind: str) -> None:
    """In half precision too, which comes after the other."""
    rehearse(pretrained.find(str(make_model(tmp_path / "model", kind=kind))), "bfloat16", "cpu", PROMPT)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("bert", r"its output for a token depends on padding or later tokens, by up to [0-9.]+ nats"),
        ("bart", r"its output for a token depends on padding or later tokens, by up to [0-9.]+ nats"),
        ("rwkv", r"it fails \(ValueError: RwkvForCausalLM takes no cache\)"),
    ],
)
def test_models_that_cannot(tmp_path: Path, kind: str, said: str) -> None:
    model = pretrained.find(str(make_model(tmp_path / "model", kind=kind)))
    with pytest.raises(
        UsageError, match=rf"runs are not possible with '.*model', a model of the kind '{kind}': {said}; choose a sup"
    ):
        rehearse(model, "float32", "cpu", PROMPT)


def test_a_gradient_that_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As that of gemma3n is where a token is embedded as zeros."""
    from transformers import LlamaForCausalLM

    forward = LlamaForCausalLM.forward

    @functools.wraps(forward)
    def rooted(self: Any, **given: Any) -> Any:
        output = forward(self, **given)
        output.logits = output.logits + (0 * self.lm_head.weight.sum()).sqrt()
        return output

    model = pretrained.find(str(make_model(tmp_path / "model")))
    monkeypatch.setattr(LlamaForCausalLM, "forward", rooted)
    with pytest.raises(UsageError, match=r"it fails \(ValueError: its gradient is not finite\)"):
        rehearse(model, "float32", "cpu", PROMPT)
