"""Test whether a language model supports runs, by sampling and training on a few tokens."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch

from lagbench.errors import UsageError
from lagbench.policies.causal_lm import CausalLMPolicy, padded
from lagbench.policies.pretrained import Pretrained
from lagbench.policies.sampling import Request, complete
from lagbench.rollout import Rollout

TOLERANCE = 2e-3
"""The allowed difference of two float32 computations of log-probabilities, in units of their standard deviation.

For 158 architectures with random weights, rounding caused at most 5e-5, padding or later tokens at least 4e-3.
"""
_ROUNDING = 1e-4  # nats
_LONG, _SHORT = 6, 2
_STEPS, _COPIES = 3, 2


@functools.lru_cache(maxsize=4)
def rehearse(model: Pretrained, precision: str, device: str, prompt: tuple[int, ...]) -> None:
    """Sample and compute gradients with a model as in a run, on a few tokens. Takes seconds per 0.1B weights on a core.

    Raises UsageError if its weights cannot be loaded, if it fails, and if it attends to later or masked tokens: then
    log-probabilities of tokens sampled with its cache, beside a longer prompt, differ from those of the completion
    alone.
    """
    network = model.model().to(device)
    policies = [CausalLMPolicy(network)]
    if precision != "float32":
        policies.append(CausalLMPolicy(network, precision=precision))
    _rehearse(
        policies,
        prompt,
        f"{model.source!r}, a model of the kind {model.config.model_type!r}",
        "choose a supported kind, see docs/gsm8k.md",
    )


def rehearse_own(policy: CausalLMPolicy, prompt: tuple[int, ...]) -> None:
    """``rehearse`` with a user's model, which needs ``config`` and a cache like models of transformers."""
    _rehearse([policy], prompt, "this network", "see docs/networks.md for what it needs")


def _rehearse(policies: Sequence[CausalLMPolicy], prompt: tuple[int, ...], what: str, do: str) -> None:
    """Rehearse with all policies; compare the log-probabilities of the first, which is in float32."""
    cannot = f"runs are not possible with {what}"
    try:
        (apart, limit), *_ = [_apart(policy, prompt) for policy in policies]
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # any error of the user's model
        reason = (str(error).strip() or "no reason given").splitlines()[0][:200]
        raise UsageError(f"{cannot}: it fails ({type(error).__name__}: {reason}); {do}") from error
    if not apart <= limit:
        raise UsageError(
            f"{cannot}: its output for a token depends on padding or later tokens, by up to {apart:.2g} nats; {do}"
        )


def _apart(policy: CausalLMPolicy, prompt: tuple[int, ...]) -> tuple[float, float]:
    """The largest difference of a token's log-probabilities (sampled, evaluated, evaluated alone), and its limit.

    In nats. Raises ValueError if a gradient is not finite.
    """
    prompts = [prompt[:_LONG], prompt[:_SHORT]]
    n = len(prompts) * _COPIES
    noise = torch.linspace(0.1, 0.9, _STEPS * n, dtype=torch.float64).view(_STEPS, n)
    done = complete(policy, Request(prompts, _COPIES, _STEPS, (), noise))
    none = torch.zeros(_STEPS, n)
    rollout = Rollout(
        observation=padded(prompts).repeat_interleave(_COPIES, 1),
        action=done.token,
        reward=none,
        terminated=none.bool(),
        truncated=none.bool(),
        valid=done.valid,
        behaviour_version=none.long(),
        behaviour_log_prob=done.log_prob,
        longest=_STEPS,
    ).to(str(policy.device))
    learned = policy.evaluate(rollout)
    assert learned.entropy is not None
    weights = [p for p in policy.parameters() if p.requires_grad]
    total = learned.log_prob.sum() + learned.entropy.sum()
    if not all(g.isfinite().all() for g in torch.autograd.grad(total, weights, allow_unused=True) if g is not None):
        raise ValueError("its gradient is not finite")
    apart = [learned.log_prob - rollout.behaviour_log_prob]
    with torch.no_grad():
        for i in range(0, n, _COPIES):
            alone = policy.evaluate(rollout.take(torch.tensor([i], device=policy.device))).log_prob
            apart.append(learned.log_prob[:, i : i + 1] - alone)
        limit = max(TOLERANCE * float(learned.log_prob.std()), _ROUNDING)
        return max(float(x.abs().max()) for x in apart), limit
