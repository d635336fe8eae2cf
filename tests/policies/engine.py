"""A stand-in for vLLM: its interface, as far as a sampler uses it, and transformers behind it, without a cache."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor


@dataclass(kw_only=True)
class SamplingParams:
    """What is not given has vLLM's default, and nothing else is taken."""

    temperature: float = 1.0
    seed: int | None = None
    max_tokens: int = 16
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    logprobs: int | None = None
    detokenize: bool = True


class Model:
    """A model with vLLM's way to load weights: by the names of a file of transformers, each once."""

    def __init__(self, path: str, dtype: str) -> None:
        from transformers import AutoModelForCausalLM

        self.module = AutoModelForCausalLM.from_pretrained(path, dtype=getattr(torch, dtype)).eval()

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        parameters = dict(self.module.named_parameters())
        loaded = set()
        for name, weight in weights:
            parameters[name].data.copy_(weight)
            loaded.add(name)
        return loaded


class LLM:
    """One engine, of one worker. ``loads`` counts how often it was given weights."""

    made: ClassVar[list[LLM]] = []

    def __init__(
        self,
        model: str,
        *,
        skip_tokenizer_init: bool = False,
        dtype: str = "auto",
        gpu_memory_utilization: float = 0.9,
        generation_config: str = "auto",
        logprobs_mode: str = "raw_logprobs",
        worker_extension_cls: str = "",
    ) -> None:
        assert 0 < gpu_memory_utilization < 1
        self.skips_tokenizer, self.generation_config, self.mode = skip_tokenizer_init, generation_config, logprobs_mode
        module, _, name = worker_extension_cls.rpartition(".")
        extension = getattr(importlib.import_module(module), name)
        self.worker: Any = type("Worker", (extension,), {})()
        self.worker.model_runner = SimpleNamespace(model=Model(model, dtype))
        self.loads = 0
        self._stale = False
        LLM.made.append(self)

    def collective_rpc(self, method: str, timeout: float | None = None, args: Sequence[Any] = ()) -> list[Any]:
        self.loads += 1
        self._stale = True
        return [getattr(self.worker, method)(*args)]

    def reset_prefix_cache(self) -> None:
        self._stale = False

    @torch.no_grad()
    def generate(
        self,
        prompts: Sequence[Mapping[str, list[int]]],
        sampling_params: Sequence[SamplingParams],
        *,
        use_tqdm: bool = True,
    ) -> list[Any]:
        assert not self._stale, "a prefix of the weights before"
        assert not use_tqdm
        found = [self._one(p["prompt_token_ids"], how) for p, how in zip(prompts, sampling_params, strict=True)]
        return [SimpleNamespace(outputs=[one]) for one in found]

    def _one(self, prompt: list[int], how: SamplingParams) -> Any:
        rng = torch.Generator()
        if how.seed is None:
            rng.seed()
        else:
            rng.manual_seed(how.seed)
        tokens: list[int] = []
        said = []
        while len(tokens) < how.max_tokens and not (tokens and tokens[-1] in (how.stop_token_ids or ())):
            logits = self.worker.model_runner.model.module(torch.tensor([prompt + tokens])).logits[0, -1].float()
            log_p = logits.log_softmax(-1)
            p = log_p.exp()
            tokens.append(int(torch.multinomial(p, 1, generator=rng) if how.temperature else log_p.argmax()))
            said.append({tokens[-1]: SimpleNamespace(logprob=float(log_p[tokens[-1]]))})
        return SimpleNamespace(token_ids=tuple(tokens), logprobs=said if how.logprobs is not None else None)
