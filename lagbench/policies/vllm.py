"""Sampling with vLLM: an engine with the learner's weights, whose log-probabilities differ from the learner's.

Written for vLLM 0.10 and later. Tested only with a stand-in of that interface, not yet on a GPU.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import torch

from lagbench.errors import UsageError
from lagbench.policies.base import Version
from lagbench.policies.sampling import Completions, Request, Sampler

# Share of the GPU's memory for the engine's weights and cache; the learner uses the rest.
_SHARE = 0.3


def needed() -> Any:
    """Import vLLM. Raises UsageError if it is not installed."""
    try:
        return importlib.import_module("vllm")
    except ImportError:
        raise UsageError(
            "--task-set sampler=vllm needs vLLM, which is not installed: pip install vllm, on a machine with a GPU; or "
            "leave it out"
        ) from None


class VLLMSampler(Sampler):
    """A vLLM engine whose weights are updated in place.

    Args:
        model: a directory or a hub id with the model's configuration.
        precision: of computation and weights.

    Raises:
        UsageError: vLLM is not installed.
    """

    def __init__(self, model: str, precision: str) -> None:
        self._vllm = needed()
        self._engine = self._vllm.LLM(
            model=model,
            dtype=precision,
            skip_tokenizer_init=True,
            generation_config="vllm",  # ignore the model's own sampling defaults
            logprobs_mode="raw_logprobs",
            gpu_memory_utilization=_SHARE,
            worker_extension_cls=f"{__name__}.Worker",
        )

    def hold(self, version: Version) -> None:
        """See ``Sampler.hold``: the engine's processes read the weights from a file."""
        from safetensors.torch import save_file

        # Tied weights are saved once, as in files of transformers.
        distinct = {x.data_ptr(): name for name, x in reversed([*version.state.items()])}
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "version.safetensors"
            save_file({name: version.state[name].contiguous() for name in distinct.values()}, file)
            self._engine.collective_rpc("load_version", args=(str(file),))
        # Cached prompts were computed with the previous weights.
        self._engine.reset_prefix_cache()

    def complete(self, request: Request) -> Completions:
        """See ``Sampler.complete``: the first noise value of a completion is its seed."""
        asked = [{"prompt_token_ids": list(prompt)} for prompt in request.prompts for _ in range(request.copies)]
        every = {
            "max_tokens": request.longest,
            "stop_token_ids": list(request.ends),
            "ignore_eos": True,  # except as stop tokens
            "logprobs": 0,  # only of the sampled token
            "detokenize": False,
        }
        if request.noise is None:
            how = [self._vllm.SamplingParams(temperature=0.0, **every)] * len(asked)
        else:
            seeds = (request.noise[0] * 2**31).long().tolist()
            how = [self._vllm.SamplingParams(temperature=1.0, seed=seed, **every) for seed in seeds]
        done = [answer.outputs[0] for answer in self._engine.generate(asked, how, use_tqdm=False)]
        length = max(len(one.token_ids) for one in done)
        token = torch.zeros(length, len(done), dtype=torch.long)
        log_prob = torch.zeros(length, len(done))
        valid = torch.zeros(length, len(done), dtype=torch.bool)
        for i, one in enumerate(done):
            n = len(one.token_ids)
            token[:n, i] = torch.tensor(list(one.token_ids))
            said = [at[chosen].logprob for at, chosen in zip(one.logprobs, one.token_ids, strict=True)]
            log_prob[:n, i] = torch.tensor(said)
            valid[:n, i] = True
        return Completions(token, log_prob, valid)


class Worker:
    """Extends the workers of the engine."""

    model_runner: Any

    def load_version(self, file: str) -> None:
        """Load weights from a file."""
        from safetensors.torch import load_file

        self.model_runner.model.load_weights(load_file(file).items())
