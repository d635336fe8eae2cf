"""Cost of larger language models: tokens per second of sampling and learning, shares of time, peak memory.

    python -m benchmarks.scale -o DIR [--times 7] [--device cuda] [--model MODEL --data QUESTIONS] [NAME=VALUE …]

Without ``--model``, GSM8kMini's model is widened: ``times`` as wide, with ``times``² as many weights in its layers and
the same outputs, so that it samples and earns rewards like the small one. Further options are the task's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.memory import peak
from lagbench.tasks.gsm8k.data import MINI_DIRECTORY


def widened(state: Mapping[str, Tensor], times: int) -> dict[str, Tensor]:
    """Widen the weights of a Llama with tied embeddings by a factor ``times`` without changing its outputs.

    Hidden states, and what each layer adds to them, are those of the small model, repeated ``times`` times: each block
    of a wide weight is the small weight times a share, and the shares of a row sum to 1 (Net2Net, arXiv 1511.05641, in
    both dimensions). Shares are random, so that all units differ.
    """
    rng = torch.Generator().manual_seed(0)
    wide = {}
    for name, x in state.items():
        if x.dim() == 1:
            wide[name] = x.repeat(times)
        elif "embed" in name:
            wide[name] = x.repeat(1, times)
        else:
            wide[name] = torch.kron(torch.randn(times, times, generator=rng).softmax(1), x)
    wide["model.norm.weight"] /= times  # tied head: its sums run over ``times`` as many states
    return wide


def make_model(path: Path, times: int) -> Path:
    """Write GSM8kMini's model, widened by ``times``, with its tokenizer."""
    from transformers import AutoConfig, AutoModelForCausalLM

    small = AutoModelForCausalLM.from_pretrained(MINI_DIRECTORY)
    config = AutoConfig.from_pretrained(MINI_DIRECTORY)
    for name in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        setattr(config, name, times * getattr(config, name))
    model = AutoModelForCausalLM.from_config(config)
    model.load_state_dict(widened(dict(small.named_parameters()), times), strict=False)  # without tied weights
    model.save_pretrained(path)
    for file in MINI_DIRECTORY.glob("*token*.json"):
        shutil.copy(file, path)
    return path


def measure(out: Path, model: str, phases: int, updates: int, minibatch: int, **options: Any) -> dict[str, Any]:
    """Run PPO with in-flight version changes and return its cost, in CPU seconds, or in wall time on a GPU.

    ``options``: arguments of ``lagbench.resolve``.
    """
    from lagbench import runner, suites

    options["task_options"] = {"model": model, **options["task_options"]}
    spec = suites.resolve(
        algo="ppo",
        lag_mode="queue:areal-4",
        lag_options={"inflight": True},
        updates=updates,
        minibatch=minibatch,
        budget=phases * updates * minibatch,
        eval_intervals=1,
        **options,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    run = runner.execute(spec, out)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    names = ("collecting", "updating", "evaluating")
    table = run.phases.to_table(columns=[*(f"seconds_{name}" for name in names), "accuracy", "backward_lag_mean"])
    shares = {name: sum(table[f"seconds_{name}"].to_pylist()) / wall for name in names}
    tokens = sum(len(row) for row in run.trajectories.to_table(columns=["token"])["token"].to_pylist())
    # CPU seconds, since other processes may share the CPU; parts are measured as shares of wall time.
    cuda = spec.device != "cpu"
    seconds = wall if cuda else cpu
    largest = torch.cuda.max_memory_allocated() if cuda else 1024 * peak()
    return {
        "weights": sum(p.numel() for p in run.policy().parameters()),
        "completions": run.trajectories.count_rows(),
        "tokens": tokens,
        "seconds": seconds,
        "tokens per second of sampling": tokens / (shares["collecting"] * seconds),
        "tokens per second of learning": tokens / (shares["updating"] * seconds),
        "shares of time": {**shares, "rest": 1 - sum(shares.values())},
        "peak GiB": largest / 2**30,
        "mean lag of a token": sum(table["backward_lag_mean"].to_pylist()) / phases,
        "accuracy by phase": table["accuracy"].to_pylist(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--model")
    parser.add_argument("--data")
    parser.add_argument("--phases", type=int, default=20)
    parser.add_argument("--updates", type=int, default=2)
    parser.add_argument("--minibatch", type=int, default=8)
    parser.add_argument("--eval-episodes", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("task_options", nargs="*", metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    model = given.model or str(make_model(given.out / "model", given.times))
    options = dict(assignment.split("=", 1) for assignment in given.task_options)
    found = measure(
        given.out / "run",
        model,
        given.phases,
        given.updates,
        given.minibatch,
        task="GSM8k-v0" if given.data else "GSM8kMini-v0",
        task_options={**({"data": given.data} if given.data else {}), **options},
        config={"learning_rate": given.learning_rate},
        eval_episodes=given.eval_episodes,
        device=given.device,
    )
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
