"""Completions by vLLM, of which a stand-in has the interface."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lagbench.errors import UsageError
from lagbench.policies.causal_lm import CausalLMPolicy, padded
from lagbench.policies.sampling import Request, complete
from lagbench.policies.vllm import VLLMSampler
from tests.policies import engine
from tests.tasks.gsm8k.tiny import make_model

END, LONGEST = 3, 10
PROMPTS = [[5, 6, 7], [9], [4, 4, 8, 1]]


def request(noise: Tensor | None) -> Request:
    return Request(PROMPTS, 2, LONGEST, (END,), noise)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> type[engine.LLM]:
    monkeypatch.setitem(sys.modules, "vllm", engine)
    monkeypatch.setattr(engine.LLM, "made", [])
    return engine.LLM


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model", vocab_size=10, context=32, tie_word_embeddings=True)


def noise(seed: int = 0) -> Tensor:
    return torch.rand(LONGEST, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def policy_of(path: Path) -> CausalLMPolicy:
    from transformers import AutoModelForCausalLM

    return CausalLMPolicy(AutoModelForCausalLM.from_pretrained(path))


@pytest.mark.usefixtures("vllm")
def test_it_samples_from_the_version_that_it_holds(path: Path) -> None:
    """Log-probabilities are those of the learner with that version's weights, up to an end token, itself included."""
    policy, sampler = policy_of(path), VLLMSampler(str(path), "float32")
    before = sampler.complete(request(noise()))
    with torch.no_grad():
        for p in policy.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(1)), alpha=0.2)
    sampler.hold(policy.version(1))
    c = sampler.complete(request(noise()))
    assert c.token.shape == c.log_prob.shape == c.valid.shape
    assert not torch.equal(c.token, before.token)
    new = policy.evaluate_tokens(padded(PROMPTS).repeat_interleave(2, 1), c.token, c.valid)
    torch.testing.assert_close(new.log_prob, c.log_prob, rtol=0, atol=1e-5)
    for i, n in enumerate(c.valid.sum(0).tolist()):
        assert c.valid[:n, i].all()
        assert (c.token[: n - 1, i] != END).all()
        assert n == LONGEST or c.token[n - 1, i] == END
    assert {int(n) for n in c.valid.sum(0)} != {LONGEST}
    again, other = (sampler.complete(request(noise(k))) for k in (0, 1))
    assert torch.equal(c.token, again.token)
    assert not torch.equal(c.token, other.token)
    greedy = sampler.complete(request(None))
    assert torch.equal(greedy.token, complete(policy, request(None)).token)


def test_the_engine_is_set_up_to_sample_plainly(vllm: type[engine.LLM], path: Path) -> None:
    VLLMSampler(str(path), "bfloat16")
    (made,) = vllm.made
    assert (made.skips_tokenizer, made.generation_config, made.mode) == (True, "vllm", "raw_logprobs")
    assert made.worker.model_runner.model.module.dtype == torch.bfloat16


def test_without_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(UsageError, match="sampler=vllm needs vLLM, which is not installed: pip install vllm"):
        VLLMSampler(str(path), "float32")
