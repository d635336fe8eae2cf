"""Cost of training with a large vocabulary: peak memory, forward passes through the body, seconds.

    python -m benchmarks.memory [--tokens 160 512] [--completions 32] [--vocabulary 151936] [--width 16]

The gradient of one minibatch is computed in a separate process, by a Llama of one thin layer with random weights, so
that the vocabulary dominates (by default that of Qwen 2.5).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import re
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

_PROMPT = 16


class Cost(NamedTuple):
    """Cost of one minibatch.

    Attributes:
        mib: growth of the process's peak resident set, less one copy of the gradient. On macOS, where the peak cannot
            be reset, an earlier larger peak hides it.
        passes: forward passes through the body.
        seconds: CPU seconds.
    """

    mib: float
    passes: int
    seconds: float


def cost(completions: int, tokens: int, vocabulary: int, width: int = 16, room: float = 0.0) -> Cost:
    """Measure the cost in a separate process; ``room`` as in ``CausalLMPolicy``."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_cost, completions, tokens, vocabulary, width, room).result()


def _cost(completions: int, tokens: int, vocabulary: int, width: int, room: float) -> Cost:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from lagbench.policies.causal_lm import CausalLMPolicy

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=1,
            num_attention_heads=2,
            tie_word_embeddings=True,
        )
    )
    policy = CausalLMPolicy(model, room=room)
    passes = 0

    def count(*_: Any) -> None:
        nonlocal passes
        passes += 1

    prompt, action = (torch.randint(vocabulary, (n, completions)) for n in (_PROMPT, tokens))
    policy.evaluate_tokens(prompt[:, :1], action[:2, :1], action[:2, :1] >= 0)  # policies measure memory on first use
    model.model.layers[0].register_forward_hook(count)
    gradient = sum(p.nbytes for p in policy.parameters()) / 2**20
    before, start = peak(anew=True), time.process_time()
    new = policy.evaluate_tokens(prompt, action, action >= 0)
    (new.log_prob.sum() + new.entropy.sum()).backward()
    return Cost((peak() - before) / 2**10 - gradient, passes, time.process_time() - start)


def peak(anew: bool = False) -> int:
    """The process's peak resident set, in KiB; ``anew`` resets it first (Linux only)."""
    with contextlib.suppress(OSError):
        if anew:
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        (found,) = re.findall(r"^VmHWM:\s+(\d+) kB$", status, flags=re.MULTILINE)
        return int(found)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one line of JSON for each number of tokens."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[160, 512])
    parser.add_argument("--completions", type=int, default=32)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument("--width", type=int, default=16)
    options = parser.parse_args(arguments)
    for tokens in options.tokens:
        found = cost(options.completions, tokens, options.vocabulary, options.width)
        print(json.dumps({"tokens": tokens, **found._asdict()}), flush=True)


if __name__ == "__main__":
    main()
