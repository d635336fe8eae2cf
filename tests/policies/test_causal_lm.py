"""The language policy: padding shifts nothing, tokens are scored by what came before, invalid ones are left out."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lagbench import Rollout
from lagbench.policies import causal_lm, memory
from lagbench.policies.causal_lm import CausalLMPolicy, scored
from lagbench.synthetic import LanguageWorld, TinyCausalLM
from tests.tasks.gsm8k.tiny import make_model

P = -1


def rollout(prompt: Tensor, action: Tensor, valid: Tensor | None = None) -> Rollout:
    """Prompts [P, n] and completions [T, n]."""
    zeros = torch.zeros(action.shape)
    return Rollout(
        layout="sequences",
        longest=len(action),
        observation=prompt,
        action=action,
        reward=zeros,
        terminated=zeros.bool(),
        truncated=zeros.bool(),
        valid=~zeros.bool() if valid is None else valid,
        behaviour_version=zeros.long(),
        behaviour_log_prob=zeros,
    )


def tokens(*columns: list[int]) -> Tensor:
    return torch.tensor(columns).T


class Recorder(nn.Module):
    """Logits of two tokens that say how often token 1 was seen up to a position; keeps what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.seen: dict[str, Tensor] = {}

    def forward(self, **given: Tensor) -> Any:
        self.seen = given
        ones = ((given["input_ids"] == 1) & given["attention_mask"].bool()).cumsum(1)
        logits = torch.stack([torch.zeros_like(ones), ones], dim=-1) * self.scale
        return SimpleNamespace(logits=logits)


def test_what_the_model_is_called_with() -> None:
    """Positions count real tokens; at masked ones stands the end of the prompt."""
    model = Recorder()
    batch = rollout(tokens([P, P, 1], [1, 0, 1]), tokens([1, 0], [0, 5]), torch.tensor([[True, True], [True, False]]))
    CausalLMPolicy(model).evaluate(batch)
    assert model.seen["input_ids"].tolist() == [[1, 1, 1, 1, 0], [1, 0, 1, 0, 1]]
    assert model.seen["attention_mask"].tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert model.seen["position_ids"].tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 3]]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_each_token_is_scored_by_those_before_it(temperature: float) -> None:
    """With k ones before it, token 1 has log-odds k/temperature."""
    policy = CausalLMPolicy(Recorder(), temperature=temperature)
    new = policy.evaluate(rollout(tokens([1, 1]), tokens([1, 0, 1])))
    odds = [2 / temperature, 3 / temperature, 3 / temperature]
    p = [1 / (1 + math.exp(-x)) for x in odds]
    assert new.log_prob[:, 0].tolist() == pytest.approx([math.log(p[0]), math.log(1 - p[1]), math.log(p[2])], rel=1e-4)
    entropy = [-(q * math.log(q) + (1 - q) * math.log(1 - q)) for q in p]
    assert new.entropy[:, 0].tolist() == pytest.approx(entropy, rel=1e-4)
    assert new.value is None
    assert new.next_value is None
    assert new.log_prob.dtype == torch.float32


def test_what_follows_the_end_is_0_and_has_no_gradient() -> None:
    policy = CausalLMPolicy(TinyCausalLM(16, 24))
    valid = torch.tensor([[True], [True], [False], [False]])
    results = []
    for rest in ([0, 0], [-1, 10**6]):
        new = policy.evaluate(rollout(tokens([P, 3]), tokens([5, 0, *rest]), valid))
        assert new.log_prob[2:].tolist() == new.entropy[2:].tolist() == [[0.0], [0.0]]
        gradients = torch.autograd.grad(new.log_prob.sum(), list(policy.parameters()))
        results.append([new.log_prob, *gradients])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_the_gradient_is_that_of_the_log_probabilities() -> None:
    """Against the model's own logits of each completion, unpadded, one at a time."""
    world = LanguageWorld()
    policy = world.policy()
    batch = world.collect(policy, 8)
    expected = []
    for i in range(batch.action.shape[1]):
        prompt = [int(x) for x in batch.observation[:, i] if x != P]
        completion = [int(x) for x, keep in zip(batch.action[:, i], batch.valid[:, i], strict=True) if keep]
        ids = torch.tensor([prompt + completion])
        log_p = policy.model(ids, torch.ones_like(ids), torch.arange(ids.shape[1]).unsqueeze(0)).log_softmax(-1)
        predicting = log_p[0, len(prompt) - 1 : -1]
        expected.append(predicting.gather(1, torch.tensor(completion).unsqueeze(1)).sum())
    new = policy.evaluate(batch)
    assert torch.allclose(new.log_prob.sum(0), torch.stack(expected), atol=1e-5)
    parameters = list(policy.parameters())
    mine = torch.autograd.grad(new.log_prob.sum(), parameters)
    theirs = torch.autograd.grad(torch.stack(expected).sum(), parameters)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(mine, theirs, strict=True))


def test_a_version_is_a_copy() -> None:
    policy = LanguageWorld().policy()
    version = policy.version(3)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.zero_()
    assert version.number == 3
    assert version.state.keys() == policy.model.state_dict().keys()
    assert all(bool(x.any()) for x in version.state.values())
    policy.model.load_state_dict(version.state)
    assert torch.equal(policy.acting_state()["head.weight"], version.state["head.weight"])


def test_the_model_is_not_in_training_mode() -> None:
    """Dropout would make the learner another policy than the one that sampled."""
    model = nn.Sequential(nn.Dropout(0.5))
    assert model.training
    assert not CausalLMPolicy(model).model.training


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_above_0(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature must be above 0"):
        CausalLMPolicy(Recorder(), temperature=temperature)


def test_a_prompt_of_at_least_one_token() -> None:
    with pytest.raises(ValueError, match="a prompt of at least one token"):
        CausalLMPolicy(Recorder()).evaluate(rollout(torch.zeros(0, 1, dtype=torch.int64), tokens([1])))


def test_scoring_has_the_gradient_of_the_formula() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 5, generator=rng, dtype=torch.float64, requires_grad=True)
    token = torch.randint(0, 5, (2, 3), generator=rng)
    assert torch.autograd.gradcheck(lambda x: scored(x, token, 0.7), (logits,))
    chosen, entropy = scored(logits, token, 0.7)
    log_p = (logits / 0.7).log_softmax(-1)
    torch.testing.assert_close(chosen, log_p.gather(-1, token.unsqueeze(-1)).squeeze(-1))
    torch.testing.assert_close(entropy, -(log_p.exp() * log_p).sum(-1))
    for x in (chosen, entropy):  # one without the other, as where no entropy is wanted
        assert torch.isfinite(torch.autograd.grad(x.sum(), logits, retain_graph=True)[0]).all()


def test_scoring_is_in_float32_at_least() -> None:
    logits = torch.tensor([[10.0, 10.0625, -5.0]], dtype=torch.bfloat16, requires_grad=True)
    chosen, entropy = scored(logits, torch.tensor([0]))
    assert chosen.dtype == entropy.dtype == torch.float32
    assert float(chosen.detach()) == pytest.approx(math.log(1 / (1 + math.exp(0.0625))), abs=1e-5)
    chosen.sum().backward()
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16


def test_many_completions_are_evaluated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """And rows in which nothing stands are not computed: neither changes what comes out."""
    world = LanguageWorld()
    policy = world.policy()
    collected = world.collect(policy, 5)
    with torch.no_grad():
        whole = policy.evaluate(collected)
        monkeypatch.setitem(causal_lm._TOGETHER, "cpu", 3)
        parts = policy.evaluate(collected)
    torch.testing.assert_close(parts.log_prob, whole.log_prob)
    torch.testing.assert_close(parts.entropy, whole.entropy)


def test_weights_that_are_one_stay_one() -> None:
    model = TinyCausalLM(8, 8)
    model.head.weight = model.token.weight
    state = CausalLMPolicy(model).acting_state()
    assert state["head.weight"] is state["token.weight"]
    assert state["head.weight"].data_ptr() != model.head.weight.data_ptr()


@pytest.mark.parametrize("cut", ["body", "head", "both"])
def test_parts_have_the_gradient_of_the_whole(cut: str, tmp_path: Path) -> None:
    """Two completions of 7 tokens at a time, or the logits of two of 257 tokens, or both."""
    from transformers import LlamaForCausalLM

    policy = CausalLMPolicy(LlamaForCausalLM.from_pretrained(make_model(tmp_path / "model")))
    rng = torch.Generator().manual_seed(0)
    prompt, action = (torch.randint(1, 257, (k, 5), generator=rng) for k in (3, 4))
    prompt[0, 2] = P
    valid = torch.arange(4).unsqueeze(1) < torch.tensor([4, 1, 2, 3, 2])
    batch = rollout(prompt, action, valid)
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    head: Any = policy.model.lm_head
    head.register_forward_hook(count)

    def gradients() -> tuple[Tensor, list[Tensor], int]:
        before = calls
        new = policy.evaluate(batch)
        policy.zero_grad()
        (new.log_prob.sum() + 0.1 * new.entropy.sum()).backward()
        return (
            new.log_prob.detach(),
            [p.grad.clone() for p in policy.parameters() if p.grad is not None],
            calls - before,
        )

    gradients()  # what is measured is measured now
    whole = gradients()
    kept = memory.kept(policy._score_nothing, policy, 7)
    few = int(2.5 * (7 * kept[0] + 49 * kept[1])), 2 * 16 * 257
    policy._budget = policy.budget._replace(
        **{"body": {"kept": few[0]}, "head": {"logits": few[1]}}.get(cut, {"kept": few[0], "logits": few[1]})
    )
    parts = gradients()
    # Of 12 tokens in parts of 2, 1 and 2 completions, or in one; each a second time for its gradient.
    assert (whole[2], parts[2]) == (1, {"body": 2 * 3, "head": 2 * 6, "both": 2 * (2 + 3 + 2)}[cut])
    torch.testing.assert_close(parts[0], whole[0])
    assert len(parts[1]) == len(whole[1]) > 10
    for x, y in zip(parts[1], whole[1], strict=True):
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-5)
