"""Batched sampling of completions from a causal language model, each token from softmax(logits / temperature)."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lagbench.policies.base import Version
from lagbench.policies.causal_lm import CausalLMPolicy

# The share of a batch that must have ended before its rows are removed.
_ENDED = 0.125
# By model: the size of its cache, in bytes, for one token and for two.
_sizes: MutableMapping[CausalLMPolicy, tuple[int, int]] = weakref.WeakKeyDictionary()


class Completions(NamedTuple):
    """Completions of n prompts, time first, each [T, n] with T the longest of them.

    Attributes:
        token: sampled tokens; 0 where not ``valid``.
        log_prob: their log-probabilities, float32; 0 where not ``valid``.
        valid: true up to and including the first end token, or up to the limit.
    """

    token: Tensor
    log_prob: Tensor
    valid: Tensor


@dataclass(frozen=True)
class Request:
    """Prompts to complete, with sampling parameters.

    The completions of prompt i are the columns i·copies … (i+1)·copies − 1.

    Attributes:
        prompts: token ids, at least one each.
        copies: completions of each prompt.
        longest: maximum tokens per completion.
        ends: the tokens that end one.
        noise: uniform in [0, 1), float64, [longest, n]; entry [t, i] selects token t of completion i by the inverse of
            the cumulative distribution; None: greedy.
    """

    prompts: Sequence[Sequence[int]]
    copies: int
    longest: int
    ends: Sequence[int]
    noise: Tensor | None

    def split(self, size: int) -> Iterator[Request]:
        """Requests of ``size`` prompts each, in order."""
        for i in range(0, len(self.prompts), size):
            columns = slice(i * self.copies, (i + size) * self.copies)
            noise = None if self.noise is None else self.noise[:, columns]
            yield replace(self, prompts=self.prompts[i : i + size], noise=noise)


class Sampler(ABC):
    """Completes prompts with the weights of one policy version at a time."""

    @abstractmethod
    def hold(self, version: Version) -> None:
        """Use this version for the following completions."""

    @abstractmethod
    def complete(self, request: Request) -> Completions:
        """See the function ``complete``; a sampler may use only each completion's first noise value, as a seed."""


class OwnSampler(Sampler):
    """Samples with the function ``complete`` from a policy whose weights are loaded by its owner."""

    def __init__(self, policy: CausalLMPolicy) -> None:
        self._policy = policy

    def hold(self, version: Version) -> None:
        """See ``Sampler.hold``: the policy has the weights already."""

    def complete(self, request: Request) -> Completions:
        """See ``Sampler.complete``."""
        return complete(self._policy, request)


@torch.no_grad()
def complete(policy: CausalLMPolicy, request: Request) -> Completions:
    """Complete prompts on the policy's device; results are on the CPU.

    The model's generation configuration is ignored. A prompt is computed once for all its copies, and completed rows
    are removed from the batch. The policy's model must take a cache like models of transformers.
    """
    width = max(map(len, request.prompts)) + request.longest
    together = max(_most(policy, width) // request.copies, 1)
    return side_by_side([_complete(policy, part) for part in request.split(together)])


def side_by_side(parts: Sequence[Completions]) -> Completions:
    """Concatenate completions along n, padded to the longest."""
    longest = max(len(part.token) for part in parts)

    def joined(pieces: Sequence[Tensor]) -> Tensor:
        return torch.cat([torch.nn.functional.pad(x, (0, 0, 0, longest - len(x))) for x in pieces], dim=1)

    return Completions(*(joined(pieces) for pieces in zip(*parts, strict=True)))


def _most(policy: CausalLMPolicy, length: int) -> int:
    """The number of completions of ``length`` tokens, including the prompt, whose caches fit into memory."""
    if policy not in _sizes:
        _sizes[policy] = _cache_size(policy, 1), _cache_size(policy, 2)
    one, two = _sizes[policy]
    return int(policy.budget.cache // max(one + (two - one) * (length - 1), 1))


def _cache(policy: CausalLMPolicy) -> Any:
    from transformers import DynamicCache

    return DynamicCache(config=policy.model.config)


def _cache_size(policy: CausalLMPolicy, length: int) -> int:
    """The size of a model's cache for ``length`` tokens, in bytes, including recurrent states."""
    tokens = torch.zeros(1, length, dtype=torch.long, device=policy.device)
    cache = _cache(policy)
    policy.logits(tokens, tokens == 0, last=1, cache=cache)
    kept = [x for layer in cache.layers for x in vars(layer).values()]
    states = [y for x in kept for y in (x.values() if isinstance(x, dict) else [x])]
    return sum(x.nbytes for x in states if isinstance(x, Tensor))


def _complete(policy: CausalLMPolicy, request: Request) -> Completions:
    from transformers.cache_utils import CacheLayerMixin

    device, prompts, copies, longest = policy.device, request.prompts, request.copies, request.longest
    width, n = max(map(len, prompts)), len(prompts) * copies
    tokens = torch.zeros(len(prompts), width, dtype=torch.long)
    mask = torch.zeros(len(prompts), width + longest, dtype=torch.bool)
    for i, prompt in enumerate(prompts):
        tokens[i, width - len(prompt) :] = torch.tensor(prompt)
        mask[i, width - len(prompt) :] = True
    tokens, mask = tokens.to(device), mask.to(device)
    noise = None if request.noise is None else request.noise.to(device)

    cache = _cache(policy)
    # Recurrent states have no entry per token: these models take a mask of the new tokens only.
    recurrent = not any(isinstance(layer, CacheLayerMixin) for layer in cache.layers)
    cache.layers = [_roomy(layer, longest) for layer in cache.layers]
    logits = policy.logits(tokens, mask[:, :width], last=1, cache=cache)[:, -1]
    cache.reorder_cache(torch.arange(len(prompts), device=device).repeat_interleave(copies))
    logits, mask = (x.repeat_interleave(copies, 0) for x in (logits, mask))

    chosen = torch.zeros(longest, n, dtype=torch.long, device=device)
    log_prob = torch.zeros(longest, n, device=device)
    valid = torch.zeros(longest, n, dtype=torch.bool, device=device)
    column = torch.arange(n, device=device)  # of each batch row
    going = torch.ones(n, dtype=torch.bool, device=device)
    ending = torch.tensor(request.ends, device=device)
    for t in range(longest):
        token, log_p = _next(policy, logits, None if noise is None else noise[t, column])
        live = column[going]
        chosen[t, live] = token[going]
        log_prob[t, live] = log_p[going]
        valid[t, live] = True
        going &= (token.unsqueeze(1) != ending).all(1)
        left = int(going.sum())
        if not left or t + 1 == longest:
            break
        if left <= len(going) * (1 - _ENDED):
            keep = _kept(going)
            cache.reorder_cache(keep)
            token, column, mask, going = token[keep], column[keep], mask[keep], going[keep]
        seen = mask[:, width + t if recurrent else 0 : width + t + 1]
        logits = policy.logits(token.unsqueeze(1), seen, last=1, cache=cache)[:, -1]
    length = t + 1
    return Completions(chosen[:length].cpu(), log_prob[:length].cpu(), valid[:length].cpu())


def _kept(going: Tensor) -> Tensor:
    """Indices of the unfinished rows, moving as few as possible: the last ones replace those that have ended."""
    left = int(going.sum())
    rows = torch.arange(left, device=going.device)
    rows[~going[:left]] = left + going[left:].nonzero().squeeze(1)
    return rows


def _roomy(layer: Any, longest: int) -> Any:
    """A cache layer preallocated for the whole completion; that of transformers is copied at every step."""
    from transformers.cache_utils import DynamicLayer

    if type(layer) is not DynamicLayer:
        return layer  # such as a sliding window

    class Roomy(DynamicLayer):  # type: ignore[misc]
        def update(self, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
            new, before = key.shape[-2], self.get_seq_length()
            if not self.is_initialized:
                self.lazy_initialization(key, value)
                # Separate widths: in latent attention, values are narrower than keys.
                self.rooms = [x.new_empty((*x.shape[:-2], new + longest, x.shape[-1])) for x in (key, value)]
            for room, x in zip(self.rooms, (key, value), strict=True):
                room[..., before : before + new, :] = x
            self._show(before + new)
            return self.keys, self.values

        def reorder_cache(self, beam_idx: Tensor) -> None:
            length = self.get_seq_length()
            if not length:
                return  # the layer shares another's cache
            if len(beam_idx) > len(self.keys):
                self.rooms = [room.index_select(0, beam_idx) for room in self.rooms]
            else:
                # In place, and only the rows that moved: copying all would take an eighth of the sampling time.
                moved = (beam_idx != torch.arange(len(beam_idx), device=beam_idx.device)).nonzero().squeeze(1)
                for room in self.rooms:
                    shown = room[..., :length, :]
                    shown[moved] = shown[beam_idx[moved]]
                self.rooms = [room[: len(beam_idx)] for room in self.rooms]
            self._show(length)

        def _show(self, length: int) -> None:
            self.keys, self.values = (room[..., :length, :] for room in self.rooms)

    return Roomy()


def _next(policy: CausalLMPolicy, logits: Tensor, u: Tensor | None) -> tuple[Tensor, Tensor]:
    """The tokens selected by u [n] from logits [n, vocabulary], greedy if None, and their log-probabilities.

    Computed a few rows at a time: temporaries take several times their size.
    """
    rows = max(1, policy.budget.logits // (8 * policy.vocabulary))
    chosen = []
    for i in range(0, len(logits), rows):
        log_p = torch.log_softmax(logits[i : i + rows].float() / policy.temperature, dim=-1)
        token = log_p.argmax(-1) if u is None else _drawn(log_p, u[i : i + rows])
        chosen.append((token, log_p.gather(1, token.unsqueeze(1)).squeeze(1)))
    token, log_prob = (torch.cat(x) for x in zip(*chosen, strict=True))
    return token, log_prob


def _drawn(log_p: Tensor, u: Tensor) -> Tensor:
    """The first token whose cumulative probability exceeds u [n]; never one of probability 0."""
    cumulative = log_p.double().exp().cumsum(-1)
    return (
        torch.searchsorted(cumulative, (u * cumulative[:, -1]).unsqueeze(1), right=True)
        .squeeze(1)
        .clamp(max=log_p.shape[1] - 1)
    )
