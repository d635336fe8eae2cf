"""Completions: drawn from the distribution that is evaluated, whatever the batch, the padding and the cache."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lagbench.policies import sampling
from lagbench.policies.causal_lm import CausalLMPolicy
from lagbench.policies.sampling import Completions, Request, complete
from lagbench.rollout import PADDING, Rollout
from tests.tasks.gsm8k.tiny import make_model

END, LONGEST = 3, 12
PROMPTS = [[5, 6, 7], [9], [4, 4, 8, 1, 2, 7], [5, 6, 7]]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> CausalLMPolicy:
    """Of ten tokens, so that completions end at all lengths."""
    from transformers import LlamaForCausalLM

    path = make_model(tmp_path_factory.mktemp("tiny") / "model", vocab_size=10, context=32)
    return CausalLMPolicy(LlamaForCausalLM.from_pretrained(path))


def uniform(n: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((LONGEST, n)))


def run(policy: CausalLMPolicy, prompts: list[list[int]] = PROMPTS, copies: int = 4, **changes: Any) -> Completions:
    request = Request(prompts, copies, LONGEST, (END,), uniform(len(prompts) * copies))
    return complete(policy, replace(request, **changes))


def as_rollout(prompts: list[list[int]], copies: int, c: Completions) -> Rollout:
    width = max(map(len, prompts))
    observation = torch.tensor([[PADDING] * (width - len(p)) + p for p in prompts]).T.repeat_interleave(copies, 1)
    zeros = torch.zeros(c.token.shape)
    return Rollout(
        layout="sequences",
        longest=LONGEST,
        observation=observation,
        action=c.token,
        reward=zeros,
        terminated=zeros.bool(),
        truncated=zeros.bool(),
        valid=c.valid,
        behaviour_version=zeros.long(),
        behaviour_log_prob=c.log_prob,
    )


def test_a_completion_is_valid_up_to_its_end(policy: CausalLMPolicy) -> None:
    c = run(policy)
    assert c.token.shape == c.valid.shape == c.log_prob.shape
    assert c.log_prob.dtype == torch.float32
    lengths = c.valid.sum(0).tolist()
    assert len(c.token) == max(lengths) <= LONGEST
    assert len(set(lengths)) > 3
    for i, n in enumerate(lengths):
        assert c.valid[:n, i].all()
        assert (c.token[: n - 1, i] != END).all()
        assert c.token[n - 1, i] == END or n == LONGEST
        assert (c.token[n:, i] == 0).all()
        assert (c.log_prob[n:, i] == 0).all()
    assert any(n == LONGEST and c.token[n - 1, i] != END for i, n in enumerate(lengths))


def test_any_of_several_tokens_ends_a_completion(policy: CausalLMPolicy) -> None:
    other = 7
    one, both = run(policy), run(policy, ends=(END, other))
    kinds = set()
    for i, n in enumerate(one.valid.sum(0).tolist()):
        before = one.token[:n, i].tolist()
        cut = min(before.index(other) + 1 if other in before else n, n)
        assert both.valid[:, i].sum() == cut
        assert both.token[:cut, i].tolist() == before[:cut]
        kinds.add((before[cut - 1] == other, cut < n))
    assert len(kinds) >= 2


def test_the_learner_finds_the_same_log_probabilities(policy: CausalLMPolicy) -> None:
    c = run(policy)
    new = policy.evaluate(as_rollout(PROMPTS, 4, c))
    torch.testing.assert_close(new.log_prob, c.log_prob, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["llama", "mamba", "qwen3_5_text", "gemma4_text"])
def test_as_one_at_a_time_without_a_cache(policy: CausalLMPolicy, tmp_path: Path, kind: str) -> None:
    """Written out: no padding, no cache, no batch. Whatever a model keeps of the tokens before."""
    from transformers import AutoModelForCausalLM

    if kind != "llama":
        small: dict[str, Any] = {"vocab_size_per_layer_input": 10} if kind == "gemma4_text" else {}
        path = make_model(tmp_path / "model", kind=kind, vocab_size=10, **small)
        policy = CausalLMPolicy(AutoModelForCausalLM.from_pretrained(path))
    c, noise = run(policy), uniform(16)
    for i in range(16):
        seen = list(PROMPTS[i // 4])
        for t in range(LONGEST):
            with torch.no_grad():
                logits = policy.model(torch.tensor([seen])).logits[0, -1]
            p = logits.double().softmax(0)
            token = int((p.cumsum(0) <= noise[t, i]).sum())
            assert c.token[t, i] == token
            assert float(c.log_prob[t, i]) == pytest.approx(float(p[token].log()), abs=1e-5)
            seen.append(token)
            if token == END:
                break
        assert c.valid[:, i].sum() == t + 1


def test_the_batch_does_not_matter(policy: CausalLMPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(policy)
    for most in (1, 8):
        monkeypatch.setattr(sampling, "_most", lambda *_, most=most: most)
        parts = run(policy)
        assert torch.equal(parts.token, whole.token)
        torch.testing.assert_close(parts.log_prob, whole.log_prob)
    assert sampling._ENDED > 0
    monkeypatch.setattr(sampling, "_ENDED", 1.0)
    assert torch.equal(run(policy).token, whole.token)


def test_those_that_go_on_stay_where_they_are() -> None:
    for going, kept in [
        ([True, True, True], [0, 1, 2]),
        ([False, True, False, True, True], [3, 1, 4]),
        ([False, False, True], [2]),
        ([True, True, False], [0, 1]),
    ]:
        assert sampling._kept(torch.tensor(going)).tolist() == kept


def test_the_cache_holds_those_that_go_on() -> None:
    """Whatever their order: what stands is read before it is written over."""
    from transformers.cache_utils import DynamicLayer

    key = torch.arange(4 * 3.0).view(4, 1, 3, 1)
    value = 100 + torch.arange(4 * 3 * 2.0).view(4, 1, 3, 2)  # wider, as keys are in latent attention
    layer = sampling._roomy(DynamicLayer(), longest=2)
    layer.update(key, value)
    layer.reorder_cache(torch.tensor([3, 1, 0]))
    assert torch.equal(layer.keys, key[[3, 1, 0]])
    assert torch.equal(layer.values, value[[3, 1, 0]])
    keys, values = layer.update(-key[:3, :, :1], -value[:3, :, :1])
    assert torch.equal(keys, torch.cat([key[[3, 1, 0]], -key[:3, :, :1]], dim=2))
    assert torch.equal(values, torch.cat([value[[3, 1, 0]], -value[:3, :, :1]], dim=2))


def test_greedy_takes_the_most_probable(policy: CausalLMPolicy) -> None:
    c = run(policy, copies=1, noise=None)
    assert torch.equal(c.token[:, 0], c.token[:, 3])
    seen = list(PROMPTS[1])
    for t in range(int(c.valid[:, 1].sum())):
        with torch.no_grad():
            seen.append(int(policy.model(torch.tensor([seen])).logits[0, -1].argmax()))
        assert c.token[t, 1] == seen[-1]


def test_a_generation_configuration_changes_nothing(policy: CausalLMPolicy) -> None:
    """The tiny model's says top_k 1, temperature 0.1: with it, all copies would be alike."""
    config: Any = policy.model.generation_config
    assert config.top_k == 1
    c = run(policy, [[5]], 200, noise=uniform(200))
    with torch.no_grad():
        p = policy.model(torch.tensor([[5]])).logits[0, -1].softmax(0)
    counts = Counter(c.token[0].tolist())
    assert len(counts) > 3
    for token in range(10):
        se = float((p[token] * (1 - p[token]) / 200).sqrt())
        assert abs(counts[token] / 200 - float(p[token])) < 4 * se + 1e-3


def test_tokens_of_no_probability_are_never_drawn() -> None:
    log_p = torch.tensor([[-torch.inf, 0.0, -torch.inf], [-torch.inf, -torch.inf, 0.0], [0.0, -torch.inf, -torch.inf]])
    for u in (0.0, 0.5, np.nextafter(1.0, 0.0)):
        assert sampling._drawn(log_p, torch.full((3,), u, dtype=torch.float64)).tolist() == [1, 2, 0]


def test_draws_follow_the_distribution_function() -> None:
    log_p = torch.tensor([[0.25, 0.25, 0.5]]).log()
    u = torch.tensor([0.0, 0.2499, 0.2501, 0.4999, 0.5001, 0.9999], dtype=torch.float64)
    assert sampling._drawn(log_p.expand(6, 3), u).tolist() == [0, 0, 1, 1, 2, 2]


def test_bfloat16_computes_otherwise_and_stays_near(policy: CausalLMPolicy) -> None:
    half = CausalLMPolicy(policy.model, precision="bfloat16")
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    c = run(half)
    new = half.evaluate(as_rollout(PROMPTS, 4, c))
    assert new.log_prob.dtype == torch.float32
    difference = (new.log_prob - policy.evaluate(as_rollout(PROMPTS, 4, c)).log_prob).detach().abs().max()
    assert 0 < float(difference) < 0.2
    torch.testing.assert_close(new.log_prob, c.log_prob, rtol=0.05, atol=0.05)


def test_the_cache_share_sets_the_batch(policy: CausalLMPolicy, tmp_path: Path) -> None:
    """Two layers of two heads of 8 numbers, keys and values, 4 bytes each: 256 bytes a token."""
    from transformers import AutoModelForCausalLM

    assert sampling._most(policy, 1) == (1 << 30) // 256
    assert sampling._most(policy, 100) == (1 << 30) // 25_600
    # Two layers of 32 channels, each with the last 4 inputs and 4 numbers of state: 2048 bytes for any length.
    mamba = CausalLMPolicy(AutoModelForCausalLM.from_pretrained(make_model(tmp_path / "model", kind="mamba")))
    assert sampling._most(mamba, 1) == sampling._most(mamba, 100) == (1 << 30) // 2048


@pytest.mark.parametrize("name", ["cache", "past_key_values", "cache_params"])
def test_a_cache_is_passed_by_the_name_that_the_model_has_for_it(name: str) -> None:
    """Releases of transformers have had all three."""
    seen: list[dict[str, Any]] = []

    def forward(**given: Any) -> Tensor:
        seen.append(given)
        return torch.zeros(*given["input_ids"].shape, 10)

    names = ("input_ids", "attention_mask", name)
    forward.__signature__ = Signature([Parameter(x, Parameter.KEYWORD_ONLY) for x in names])  # type: ignore[attr-defined]
    model = torch.nn.Linear(1, 1)
    model.forward = forward  # type: ignore[assignment]
    tokens = torch.ones(1, 2, dtype=torch.long)
    CausalLMPolicy(model).logits(tokens, tokens == 1, cache="kept")
    CausalLMPolicy(model).logits(tokens, tokens == 1)
    assert [given.get(name) for given in seen] == ["kept", None]
    assert [given.keys() == set(names) for given in seen] == [True, False]
