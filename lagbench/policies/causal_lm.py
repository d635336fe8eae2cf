"""The policy of language tasks: a causal model over tokens, whatever it is made of."""

from __future__ import annotations

import contextlib
import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lagbench.policies.base import Evaluation, Policy
from lagbench.rollout import Rollout

PADDING = -1
# Logits at a time, in bytes: those of a phase at once would fill the memory, and over a large vocabulary those of a
# minibatch too, with all that is kept for their gradient.
_LOGIT_BYTES = 1 << 28
# Completions at a time. On a CPU few of like length: what is not padding is computed sooner, from caches.
_TOGETHER = {"cpu": 16, "cuda": 256}


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
        self._keeps_few = "logits_to_keep" in inspect.signature(model.forward).parameters

    def evaluate(self, batch: Rollout) -> Evaluation:
        """See ``Policy.evaluate``: [T, n], each token given the prompt and the tokens before it; 0 where not valid.

        Positions count real tokens only, so that left padding shifts nothing. Raises ValueError without prompt tokens.
        """
        if not len(batch.observation):
            raise ValueError("a completion needs a prompt of at least one token")
        n = batch.valid.shape[1]
        # In order of length, so that those evaluated together have little padding.
        order = ((batch.observation != PADDING).sum(0) + batch.valid.sum(0)).argsort(stable=True)
        parts = [
            self._part(batch.observation[:, own], batch.action[:, own], batch.valid[:, own], n)
            for own in order.split(self._together(batch.valid))
        ]
        place = order.argsort()
        log_prob, entropy = (torch.cat(part, dim=1)[:, place] for part in zip(*parts, strict=True))
        return Evaluation(log_prob, entropy, None, None)

    def _room(self, length: int) -> int:
        """How many completions of up to ``length`` tokens have logits that may be in memory at once."""
        vocabulary = getattr(getattr(self.model, "config", None), "vocab_size", 1)
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
        # What stands at masked tokens is not looked at, but must be in the vocabulary.
        mask = torch.cat([there, kept])
        tokens = torch.cat([prompt, action[:length]]).masked_fill(~mask, 0)
        # The logits that predict a token stand one row before it.
        logits = self.logits(tokens.T, mask.T, last=length + 1)[:, :-1]
        chosen, entropy = scored(logits, tokens[len(prompt) :].T, self.temperature)
        rest = len(valid) - length
        return tuple(  # type: ignore[return-value]
            nn.functional.pad(x.T.masked_fill(~kept, 0.0), (0, 0, 0, rest)) for x in (chosen, entropy)
        )

    def logits(self, tokens: Tensor, mask: Tensor, last: int | None = None, **cached: Any) -> Tensor:
        """The model's logits [n, length, vocabulary] for tokens [n, length]; those count where ``mask`` is true.

        Of the ``last`` positions only, where that is given. ``cached`` goes to the model as it is: then ``mask``
        [n, longer] is of the tokens before too.
        """
        attention = mask.long()
        positions = (attention.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        few = {"logits_to_keep": last} if last is not None and self._keeps_few else {}
        with torch.autocast(tokens.device.type, torch.bfloat16) if self._autocast else contextlib.nullcontext():
            output = self.model(input_ids=tokens, attention_mask=attention, position_ids=positions, **few, **cached)
        logits: Tensor = output if isinstance(output, Tensor) else output.logits
        return logits if last is None else logits[:, -last:]

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
