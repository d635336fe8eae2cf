"""The policy of language tasks: a causal model over tokens."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lagbench.policies import halves, memory
from lagbench.policies.base import Policy, PolicyOutput
from lagbench.rollout import PADDING, Rollout

# Maximum number of completions per batch. Small on a CPU, where batches of similar length have less padding and fit
# into caches; on a GPU, larger batches would only add padding.
_TOGETHER = {"cpu": 16, "cuda": 256}
# Name of the argument in transformers: from 5.24 on, before 5.24, and before 5.24 in recurrent models.
_CACHE_NAMES = ("cache", "past_key_values", "cache_params")


class CausalLMPolicy(Policy):
    """Completions by a causal language model, sampled from softmax(logits / temperature); no critic, no normalizer.

    Args:
        model: called as ``model(input_ids=…, attention_mask=…, position_ids=…)`` with integers [n, length]; returns
            logits [n, length, vocabulary] or an object with ``.logits``. It must not attend to masked or later tokens.
            Put into evaluation mode: with dropout, the learner's policy would differ from the one that sampled.
        temperature: for sampling and learning; above 0.
        precision: with ``bfloat16``, the model's body is computed under torch's autocast; its head and the weights stay
            in float32. If head and body cannot be separated, both are computed under autocast.
        room: GiB available to sampling and learning in addition to the weights; 0: see ``memory.budget``.
    """

    has_critic: ClassVar[bool] = False

    def __init__(
        self, model: nn.Module, *, temperature: float = 1.0, precision: str = "float32", room: float = 0.0
    ) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, not {temperature}")
        self.model = model.eval()
        self.temperature = temperature
        self._autocast = precision == "bfloat16"
        self._room = room
        # Computed on first use.
        self._budget: memory.Budget | None = None
        self._per_token: tuple[float, float] | None = None
        self._two_halves: bool | None = None
        parameters = inspect.signature(model.forward).parameters
        self._arguments = frozenset(parameters)
        self._takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._cache_name = next((name for name in _CACHE_NAMES if name in self._arguments), None)

    @property
    def device(self) -> torch.device:
        """The device of the model's weights."""
        return next(self.parameters()).device

    def evaluate(self, batch: Rollout) -> PolicyOutput:
        """See ``Policy.evaluate``: [T, n], each token given the prompt and the tokens before it; 0 where not valid.

        Positions do not count left padding. Raises ValueError without prompt tokens.
        """
        return self.evaluate_tokens(batch.observation, batch.action, batch.valid)

    def evaluate_tokens(self, prompt: Tensor, action: Tensor, valid: Tensor) -> PolicyOutput:
        """As ``evaluate``, for prompts [P, n] and completions [T, n] as separate tensors."""
        if not len(prompt):
            raise ValueError("a completion needs a prompt of at least one token")
        size = (prompt != PADDING).sum(0) + valid.sum(0)
        fitting = self.fitting(len(prompt) + len(valid))
        again = torch.is_grad_enabled() and valid.shape[1] > fitting
        # Sorted by length, so that batches have little padding.
        order = size.argsort(stable=True)
        parts = [
            self._evaluate(prompt[:, own], action[:, own], valid[:, own], len(order), again)
            for own in order.split(min(fitting, _TOGETHER[valid.device.type]))
        ]
        place = order.argsort()
        log_prob, entropy = (torch.cat(part, dim=1)[:, place] for part in zip(*parts, strict=True))
        return PolicyOutput(log_prob, entropy, None, None)

    @property
    def budget(self) -> memory.Budget:
        """The memory available to sampling and learning in addition to the weights."""
        if self._budget is None:
            size = sum(p.nbytes for p in self.parameters())
            self._budget = memory.budget(self.device, size, self._room)
        return self._budget

    @property
    def vocabulary(self) -> int:
        """Size of the model's vocabulary; 1 if unknown."""
        config: Any = getattr(self.model, "config", None)
        return int(config.get_text_config().vocab_size) if config is not None else 1

    def fitting(self, length: int) -> int:
        """The number of completions, of ``length`` tokens with their prompts, whose gradient fits into memory."""
        if self._per_token is None:
            self._per_token = memory.kept(self._score_nothing, self, length)
        linear, square = self._per_token
        if not self._separable:
            linear += 4 * self.vocabulary
        return max(1, int(self.budget.kept // max(linear * length + square * length**2, 1)))

    def _score_nothing(self, tokens: Tensor) -> Tensor:
        return self.logits(tokens, torch.ones_like(tokens), last=1)

    def _evaluate(self, prompt: Tensor, action: Tensor, valid: Tensor, of: int, again: bool) -> tuple[Tensor, Tensor]:
        """``evaluate_tokens`` of one batch, of ``of`` completions in total.

        With ``again``, the body's activations are recomputed in the backward pass (gradient checkpointing): a third
        more work, but memory for one batch only.
        """
        # Rows of padding alone, as when a phase's longest completion is in another minibatch, are not computed.
        there = prompt != PADDING
        first = int((~there.any(1)).sum())
        length = max(int(valid.any(1).sum()), 1)
        prompt, there, kept = prompt[first:], there[first:], valid[:length]
        # Masked tokens are ignored, but must have finite gradients, which the zeros of padding tokens' embeddings do
        # not have in every model.
        mask = torch.cat([there, kept])
        tokens = torch.cat([prompt, action[:length]]).where(mask, prompt[-1])
        chosen = tokens[len(prompt) :].T
        # With gradients, the logits of all batches are kept.
        rows = length * (of if torch.is_grad_enabled() else kept.shape[1])
        many = rows * self.vocabulary * 4 > self.budget.logits
        if (many or self._autocast) and self._separable:
            found = self._in_parts(tokens.T, mask.T, chosen, kept.T, again, many)
        else:
            found = self._at_once(tokens.T, mask.T, chosen, again)
        rest = len(valid) - length
        return tuple(  # type: ignore[return-value]
            nn.functional.pad(x.T.masked_fill(~kept, 0.0), (0, 0, 0, rest)) for x in found
        )

    @property
    def _separable(self) -> bool:
        if self._two_halves is None:
            self._two_halves = halves.separable(self.model)
        return self._two_halves

    def _at_once(self, tokens: Tensor, mask: Tensor, chosen: Tensor, again: bool) -> tuple[Tensor, Tensor]:
        """Log-probability and entropy [n, T] of the tokens ``chosen`` [n, T], from all logits at once."""

        def compute() -> tuple[Tensor, Tensor]:
            # The logits that predict a token are at the position before it.
            logits = self.logits(tokens, mask, last=chosen.shape[1] + 1)[:, :-1]
            return scored(logits, chosen, self.temperature)

        return _again(compute) if again else compute()

    def _in_parts(
        self, tokens: Tensor, mask: Tensor, chosen: Tensor, kept: Tensor, again: bool, many: bool
    ) -> tuple[Tensor, Tensor]:
        """As ``_at_once``, for the tokens that are ``kept`` [n, T], else 0; the head is computed apart from the body.

        With ``many``, the head is computed for a few tokens at a time, and recomputed in the backward pass.
        """

        def body() -> Tensor:
            return halves.states(self.model, tokens, self._given(tokens, mask, None), self._autocast)

        states = (_again(body) if again else body())[:, -chosen.shape[1] - 1 : -1][kept]
        # A fourth of the budget: still large enough for efficient matrix products.
        rows = max(1, self.budget.logits // (16 * self.vocabulary)) if many else len(states)

        def compute(some: Tensor, of: Tensor) -> tuple[Tensor, Tensor]:
            return scored(halves.logits(self.model, some.unsqueeze(0))[0], of, self.temperature)

        parts = [
            _again(compute, *part) if many else compute(*part)
            for part in zip(states.split(rows or 1), chosen[kept].split(rows or 1), strict=True)
        ]
        empty = torch.zeros(kept.shape, device=kept.device)
        log_prob, entropy = (
            empty.to(x.dtype).masked_scatter(kept, x) for x in map(torch.cat, zip(*parts, strict=True))
        )
        return log_prob, entropy

    def logits(self, tokens: Tensor, mask: Tensor, last: int | None = None, cache: Any = None) -> Tensor:
        """The model's logits [n, length, vocabulary] for tokens [n, length], of which those in ``mask`` are valid.

        With ``last``, only of so many positions at the end. ``cache`` holds the preceding tokens, and the model adds
        to it; ``mask`` [n, longer] then covers them too. Raises ValueError if the model takes no cache.
        """
        given = self._given(tokens, mask, cache)
        if self._autocast and self._separable:
            states = halves.states(self.model, tokens, given, autocast=True)
            return halves.logits(self.model, states if last is None else states[:, -last:])
        if last is not None and "logits_to_keep" in self._arguments:
            given["logits_to_keep"] = last
        with halves.half_precision(tokens.device, self._autocast):
            output = self.model(input_ids=tokens, **given)
        logits: Tensor = output if isinstance(output, Tensor) else output.logits
        return logits if last is None else logits[:, -last:]

    def _given(self, tokens: Tensor, mask: Tensor, cache: Any) -> dict[str, Any]:
        """The model's keyword arguments other than the tokens."""
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
        return given

    def _takes(self, name: str) -> bool:
        return self._takes_any or name in self._arguments

    def acting_state(self) -> dict[str, Tensor]:
        """See ``Policy.acting_state``: the model's weights and buffers; tied weights stay tied."""
        copies: dict[tuple[int, torch.Size], Tensor] = {}
        state = {}
        for name, x in self.model.state_dict().items():
            key = x.data_ptr(), x.shape
            if key not in copies:
                copies[key] = x.detach().to("cpu", copy=True)
            state[name] = copies[key]
        return state


def _again(compute: Callable[..., Any], *given: Tensor) -> Any:
    """``compute(*given)`` with gradient checkpointing: recomputed in the backward pass instead of kept."""
    return checkpoint(compute, *given, use_reentrant=False, preserve_rng_state=False)


def padded(prompts: Sequence[Sequence[int]]) -> Tensor:
    """Prompts as tokens [P, n], left-padded: the ``observation`` of a rollout."""
    longest = max(map(len, prompts))
    return torch.tensor([[PADDING] * (longest - len(p)) + list(p) for p in prompts]).T.contiguous()


def scored(logits: Tensor, tokens: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probability of tokens [...] under softmax(logits / temperature), logits [..., vocabulary], and its entropy.

    Computed in at least float32. Only the logits are kept for the gradient, since with large vocabularies they dominate
    memory.
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
        entropy = -log_p.exp().mul_(log_p).sum(-1)
        ctx.save_for_backward(logits, tokens, total, entropy)
        ctx.temperature = temperature
        ctx.set_materialize_grads(False)
        return chosen, entropy

    @staticmethod
    def backward(ctx: Any, chosen: Tensor | None, entropy: Tensor | None) -> tuple[Tensor | None, None, None]:
        logits, tokens, total, h = ctx.saved_tensors
        if chosen is None and entropy is None:
            return None, None, None
        # In place where possible: each of these tensors is as large as the logits.
        log_p = _scaled(logits, ctx.temperature) - total.unsqueeze(-1)
        gradient = torch.zeros_like(log_p)
        p = log_p.exp() if entropy is not None else log_p.exp_()
        if entropy is not None:
            gradient -= log_p.add_(h.unsqueeze(-1)).mul_(entropy.unsqueeze(-1) * p)
        if chosen is not None:
            gradient.addcmul_(p, chosen.unsqueeze(-1), value=-1)
            gradient.scatter_add_(-1, tokens.unsqueeze(-1), chosen.unsqueeze(-1))
        return gradient.div_(ctx.temperature).to(logits.dtype), None, None
