"""The policy of language tasks: a causal model over tokens, whatever it is made of."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lagbench.policies.base import Policy, PolicyOutput
from lagbench.rollout import PADDING, Rollout

# Logits at a time, in bytes: those of a phase at once would fill the memory, and over a large vocabulary those of a
# minibatch too, with all that is kept for their gradient.
_LOGIT_BYTES = 1 << 28
# Completions at a time. On a CPU few of like length: what is not padding is computed sooner, from caches.
_TOGETHER = {"cpu": 16, "cuda": 256}
# What transformers calls the argument: from 5.24 on, before that, and before that where states recur.
_CACHE_NAMES = ("cache", "past_key_values", "cache_params")


class CausalLMPolicy(Policy):
    """Completions by a causal language model, sampled from softmax(logits / temperature); no critic, no normalizer.

    Args:
        model: called as ``model(input_ids=…, attention_mask=…, position_ids=…)`` with integers [n, length]; returns
            logits [n, length, vocabulary] or an object that has them as ``.logits``. It must not look at masked tokens
            nor at later ones. Put into evaluation mode: dropout would make the learner another policy than the one that
            sampled.
        temperature: of sampling and learning alike; above 0.
        precision: ``bfloat16`` has the model computed under torch's autocast; weights stay in float32.
    """

    has_critic: ClassVar[bool] = False

    def __init__(self, model: nn.Module, *, temperature: float = 1.0, precision: str = "float32") -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, not {temperature}")
        self.model = model.eval()
        self.temperature = temperature
        self._autocast = precision == "bfloat16"
        parameters = inspect.signature(model.forward).parameters
        self._arguments = frozenset(parameters)
        self._takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._cache_name = next((name for name in _CACHE_NAMES if name in self._arguments), None)

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return next(self.parameters()).device

    def evaluate(self, batch: Rollout) -> PolicyOutput:
        """See ``Policy.evaluate``: [T, n], each token given the prompt and the tokens before it; 0 where not valid.

        Positions count real tokens only, so that left padding shifts nothing. Raises ValueError without prompt tokens.
        """
        return self.evaluate_tokens(batch.observation, batch.action, batch.valid)

    def evaluate_tokens(self, prompt: Tensor, action: Tensor, valid: Tensor) -> PolicyOutput:
        """``evaluate``, of prompts [P, n] and completions [T, n] by themselves."""
        if not len(prompt):
            raise ValueError("a completion needs a prompt of at least one token")
        n = valid.shape[1]
        # In order of length, so that those evaluated together have little padding.
        order = ((prompt != PADDING).sum(0) + valid.sum(0)).argsort(stable=True)
        parts = [
            self._part(prompt[:, own], action[:, own], valid[:, own], n) for own in order.split(self._together(valid))
        ]
        place = order.argsort()
        log_prob, entropy = (torch.cat(part, dim=1)[:, place] for part in zip(*parts, strict=True))
        return PolicyOutput(log_prob, entropy, None, None)

    def _room(self, length: int) -> int:
        """How many completions of up to ``length`` tokens have logits that may be in memory at once."""
        config: Any = getattr(self.model, "config", None)
        vocabulary = config.get_text_config().vocab_size if config is not None else 1
        return max(1, _LOGIT_BYTES // (4 * int(vocabulary) * (length + 1)))

    def _together(self, valid: Tensor) -> int:
        """How many completions to evaluate at a time."""
        return min(self._room(len(valid)), _TOGETHER[valid.device.type])

    def _part(self, prompt: Tensor, action: Tensor, valid: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """``_evaluate`` of some of n completions; what it computes on the way is kept for the gradient if all fit."""
        if n <= self._room(len(valid)) or not torch.is_grad_enabled():
            return self._evaluate(prompt, action, valid)
        # Computed again when the gradient is: a third more work, and the memory of one part.
        again: tuple[Tensor, Tensor] = checkpoint(
            self._evaluate, prompt, action, valid, use_reentrant=False, preserve_rng_state=False
        )
        return again

    def _evaluate(self, prompt: Tensor, action: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        # Rows in which nothing stands, as where the longest of a phase is in another minibatch, are not computed.
        there = prompt != PADDING
        first = int((~there.any(1)).sum())
        length = max(int(valid.any(1).sum()), 1)
        prompt, there, kept = prompt[first:], there[first:], valid[:length]
        # What stands at masked tokens is not looked at, but must be one that a model can differentiate: not all can the
        # zeros that it has for padding.
        mask = torch.cat([there, kept])
        tokens = torch.cat([prompt, action[:length]]).where(mask, prompt[-1])
        # The logits that predict a token stand one row before it.
        logits = self.logits(tokens.T, mask.T, last=length + 1)[:, :-1]
        chosen, entropy = scored(logits, tokens[len(prompt) :].T, self.temperature)
        rest = len(valid) - length
        return tuple(  # type: ignore[return-value]
            nn.functional.pad(x.T.masked_fill(~kept, 0.0), (0, 0, 0, rest)) for x in (chosen, entropy)
        )

    def logits(self, tokens: Tensor, mask: Tensor, last: int | None = None, cache: Any = None) -> Tensor:
        """The model's logits [n, length, vocabulary] for tokens [n, length]; those count where ``mask`` is true.

        Of the ``last`` positions only, where that is given. With a ``cache`` of the tokens before, which the model
        adds to, ``mask`` [n, longer] is of them too. Raises ValueError for a cache that the model does not take.
        """
        attention = mask.long()
        given: dict[str, Any] = {"attention_mask": attention}
        if self._takes("position_ids"):
            given["position_ids"] = (attention.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        if self._takes("use_cache"):
            given["use_cache"] = cache is not None
        if cache is not None:
            if self._cache_name is None:
                raise ValueError(f"{type(self.model).__name__} takes no cache")
            given[self._cache_name] = cache
        if last is not None and "logits_to_keep" in self._arguments:
            given["logits_to_keep"] = last
        with torch.autocast(tokens.device.type, torch.bfloat16) if self._autocast else contextlib.nullcontext():
            output = self.model(input_ids=tokens, **given)
        logits: Tensor = output if isinstance(output, Tensor) else output.logits
        return logits if last is None else logits[:, -last:]

    def _takes(self, name: str) -> bool:
        return self._takes_any or name in self._arguments

    def acting_state(self) -> dict[str, Tensor]:
        """See ``Policy.acting_state``: the model's weights and buffers; those that are one stay one."""
        copies: dict[tuple[int, torch.Size], Tensor] = {}
        state = {}
        for name, x in self.model.state_dict().items():
            key = x.data_ptr(), x.shape
            if key not in copies:
                copies[key] = x.detach().to("cpu", copy=True)
            state[name] = copies[key]
        return state


def padded(prompts: Sequence[Sequence[int]]) -> Tensor:
    """Prompts as tokens [P, n], left-padded: the ``observation`` of a rollout."""
    longest = max(map(len, prompts))
    return torch.tensor([[PADDING] * (longest - len(p)) + list(p) for p in prompts]).T.contiguous()


def scored(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probability of tokens [...] under softmax(logits / temperature), logits [..., vocabulary], and its entropy.

    In float32 at least. No more than the logits is kept for the gradient: over a large vocabulary they are what fills
    the memory.
    """
    chosen, entropy = _Scored.apply(logits, tokens, temperature)  # type: ignore[no-untyped-call]
    return chosen, entropy


def _scaled(logits: Tensor, temperature: float) -> Tensor:
    exact = logits if logits.dtype == torch.float64 else logits.float()
    return exact if temperature == 1.0 else exact / temperature


class _Scored(torch.autograd.Function):
    """With x = logits/temperature and p its softmax: ∂log p_a/∂x = 1_a − p, ∂H/∂x = −p·(log p + H)."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, tokens: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        x = _scaled(logits, temperature)
        total = x.logsumexp(-1)
        chosen = x.gather(-1, tokens.unsqueeze(-1)).squeeze(-1) - total
        log_p = x - total.unsqueeze(-1)
        entropy = -(log_p.exp() * log_p).sum(-1)
        ctx.save_for_backward(logits, tokens, total, entropy)
        ctx.temperature = temperature
        ctx.set_materialize_grads(False)
        return chosen, entropy

    @staticmethod
    def backward(ctx: Any, chosen: Tensor | None, entropy: Tensor | None) -> tuple[Tensor | None, None, None]:
        logits, tokens, total, h = ctx.saved_tensors
        if chosen is None and entropy is None:
            return None, None, None
        log_p = _scaled(logits, ctx.temperature) - total.unsqueeze(-1)
        p = log_p.exp()
        gradient = torch.zeros_like(p)
        if entropy is not None:
            gradient -= entropy.unsqueeze(-1) * p * (log_p + h.unsqueeze(-1))
        if chosen is not None:
            gradient.addcmul_(p, chosen.unsqueeze(-1), value=-1)
            gradient.scatter_add_(-1, tokens.unsqueeze(-1), chosen.unsqueeze(-1))
        return (gradient / ctx.temperature).to(logits.dtype), None, None
