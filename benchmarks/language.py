"""Speed of training and sampling language models, as ratios on GSM8kMini-v0; both sides alternate, block by block.

    python -m benchmarks.language [--quick] [--only phase] [--updates 16] [--json]

``phase``: a phase of PPO (generate, grade, update U times) against TRL's GRPOTrainer, in completions per second.

Equal on both sides: the model and its initial weights, float32, one torch thread, eager PyTorch; the prompts and their
order, 8 completions of each, at temperature 1 from the whole vocabulary, up to the same length; the grader; U optimizer
updates per phase on minibatches of 32 completions, one epoch; the loss (TRL's ``dr_grpo`` without scaled rewards is
PPO's clip on rewards centred in their group, over completions × maximum length), clip, learning rate and its decay,
Adam's constants, the gradient clipping norm.

TRL uses its fastest settings on this task: all completions of a phase in one batch (``steps_per_generation`` = U), no
gradient checkpointing and no bf16 (both on by default), transformers' ``generate`` with its dynamic cache, whole
minibatches. A static cache and smaller micro-batches were not faster, transformers' continuous batching was six times
slower; vLLM is left out. TRL does not log, save or evaluate. With U = 1 it uses the updated policy as the behaviour
policy; from U = 2 on it recomputes the phase's log-probabilities before the updates, as lagbench always does. The
presets were searched at U = 16; with fewer updates, and so fewer completions at once, TRL's speed is closer.

Additional work of lagbench: it records every completion and saves a checkpoint each phase; it keeps the
log-probabilities of sampling; it evaluates the phase once more after the updates, for diagnostics.

``generate``: sampling alone (``policies/sampling.py``) against transformers' ``generate`` with the same prompts in one
left-padded batch, from the whole vocabulary, in tokens per second, up to and including each end token. 512 completions,
8 of each prompt (``num_return_sequences``); lagbench computes a prompt once for all 8, transformers once for each.
``generate-alone``: one completion of each of 512 prompts. lagbench also returns log-probabilities, and uses its own
noise generator for reproducibility.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback

from benchmarks.throughput import _HEADING, Duel, Plan, Result, _installed, _row, context
from lagbench.checkpoint import Checkpoint
from lagbench.policies.sampling import Request, complete
from lagbench.records.writer import RunWriter
from lagbench.runner import CHECKPOINT, record_sizes
from lagbench.seeding import Stream, generator
from lagbench.spec import RunSpec, resolve
from lagbench.tasks.gsm8k import grading, prompts
from lagbench.tasks.gsm8k.data import TRAIN, Question
from lagbench.tasks.gsm8k.task import GSM8kTask
from lagbench.tasks.spec import load_task
from lagbench.training import PhaseResult, train

TASK = "GSM8kMini-v0"
PACKAGES = ("transformers", "tokenizers", "accelerate", "trl")
# Duels receive seconds per completion or token.
_ONE = Plan(actors=1, steps=1)


@dataclass(frozen=True)
class LanguagePlan:
    """The number of blocks and the shape of a phase. Targets are for the default shape."""

    updates: int = 16
    minibatch: int = 32
    blocks: int = 6
    sampling_blocks: int = 10
    warm_up: int = 1

    @property
    def completions(self) -> int:
        """Completions per phase and per block of sampling."""
        return self.updates * self.minibatch


QUICK = LanguagePlan(updates=4, blocks=3, sampling_blocks=4)


@dataclass(frozen=True)
class LanguageResult(Result):
    """One ratio; speeds are in completions or tokens per second.

    Attributes:
        lengths: mean tokens per completion on each side, since their samples differ.
    """

    lengths: tuple[float, float]


class _Tally:
    """A duel, and the lengths of each side's completions in the measured blocks."""

    def __init__(self, blocks: int, warm_up: int) -> None:
        self.duel = Duel(blocks, warm_up)
        self._warm_up = warm_up
        self._lengths: tuple[list[float], list[float]] = ([], [])

    def add(self, side: int, seconds: float, length: float) -> None:
        """Add the next block of side 0 or 1: seconds per unit, and tokens per completion."""
        self.duel.add(side, seconds)
        self._lengths[side].append(length)

    def result(self, name: str, what: str, target: float) -> LanguageResult:
        """The speed of side 0 ÷ that of side 1."""
        ours, others = (float(np.mean(lengths[self._warm_up :])) for lengths in self._lengths)
        return LanguageResult(**vars(self.duel.result(name, TASK, what, target, _ONE)), lengths=(ours, others))


def against_trl(plan: LanguagePlan) -> LanguageResult:
    """Phases of PPO with records and checkpoints, against TRL's GRPOTrainer; see the top of this file."""
    spec = _spec(plan)
    tally = _Tally(plan.blocks, plan.warm_up)
    opponent = _Opponent(_questions(spec))
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        # Ignore warnings of TRL and transformers.
        warnings.simplefilter("ignore")
        turns = _Turns(tally, _phases(spec, Path(scratch) / "run"), opponent, plan)
        trainer = _grpo(spec, opponent, turns, plan.updates * (plan.warm_up + plan.blocks), Path(scratch) / "trl")
        trainer.train()
    return tally.result("phase", "a phase of PPO ÷ TRL's GRPOTrainer", 1.5)


def against_generate(plan: LanguagePlan) -> LanguageResult:
    """Sampling against transformers' generate; see the top of this file."""
    return _both_sample(plan, _task().group_size, "generate", "sampling ÷ transformers' generate")


def against_generate_alone(plan: LanguagePlan) -> LanguageResult:
    """As ``against_generate``, with one completion per prompt, so that no prompts are shared."""
    return _both_sample(plan, 1, "generate-alone", "the same, every prompt once")


MEASUREMENTS: Mapping[str, Callable[[LanguagePlan], LanguageResult]] = {
    "phase": against_trl,
    "generate": against_generate,
    "generate-alone": against_generate_alone,
}


def _task() -> GSM8kTask:
    task = load_task(TASK, {})
    assert isinstance(task, GSM8kTask)
    return task


def _spec(plan: LanguagePlan) -> RunSpec:
    # One phase more than measured: the first evaluation is in the warm-up, the last in that phase.
    phases = plan.warm_up + plan.blocks + 1
    return resolve(
        algo="ppo",
        task=TASK,
        updates=plan.updates,
        minibatch=plan.minibatch,
        budget=phases * plan.completions,
        eval_episodes=1,
        eval_intervals=1,
    )


def _questions(spec: RunSpec) -> list[Question]:
    """The questions of a run's phases: the training set in the order of its first epoch."""
    train_set = _task().questions(TRAIN)
    order = generator(spec.seed, Stream.ENVIRONMENT, 0).permutation(len(train_set))
    return [train_set[i] for i in order[: spec.budget // _task().group_size]]


def _phases(spec: RunSpec, path: Path) -> Iterator[PhaseResult]:
    """Run as ``lagbench.run``, one phase per iteration."""
    with RunWriter.create(path, spec, **record_sizes(spec)) as writer:
        checkpoint = Checkpoint(path / CHECKPOINT)
        for result in train(spec):
            writer.commit(result.record)
            checkpoint.save(spec, result.state(), writer.committed())
            yield result


class _Opponent:
    """TRL's questions and reward function, which notes questions and lengths of completions."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = questions
        self.asked: list[int] = []
        self.length = 0.0

    def rows(self) -> list[dict[str, Any]]:
        """The data set in TRL's format."""
        return [
            {"prompt": prompts.text(q.question, _task().prompt), "number": q.number, "target": q.target}
            for q in self.questions
        ]

    def reward(
        self,
        completions: Sequence[str],
        completion_ids: Sequence[Sequence[int]],
        target: Sequence[str],
        number: Sequence[int],
        **_: Any,
    ) -> list[float]:
        """The rewards of a phase's completions; TRL's reward function."""
        self.asked = list(number)
        self.length = float(np.mean([len(ids) for ids in completion_ids]))
        return [float(grading.grade(c, t).correct) for c, t in zip(completions, target, strict=True)]


class _Turns(TrainerCallback):  # type: ignore[misc]
    """Runs a phase of lagbench after each phase of TRL."""

    def __init__(self, tally: _Tally, phases: Iterator[PhaseResult], opponent: _Opponent, plan: LanguagePlan) -> None:
        self._tally = tally
        self._phases = phases
        self._opponent = opponent
        self._plan = plan
        self._since = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._since = time.perf_counter()

    def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        if state.global_step % self._plan.updates:
            return
        middle = time.perf_counter()
        ours = next(self._phases)
        end = time.perf_counter()
        _check_alike(ours, self._opponent, self._plan)
        n = self._plan.completions
        self._tally.add(1, (middle - self._since) / n, self._opponent.length)
        self._tally.add(0, (end - middle) / n, ours.record.diagnostics["response_length"])
        self._since = time.perf_counter()


def _check_alike(ours: PhaseResult, opponent: _Opponent, plan: LanguagePlan) -> None:
    if ours.record.transitions.columns["prompt_id"].tolist() != opponent.asked:
        raise AssertionError("the two sides answered different questions")
    if ours.record.updates_made != plan.updates:
        raise AssertionError(f"lagbench made {ours.record.updates_made} updates, TRL {plan.updates}")


def _grpo(spec: RunSpec, opponent: _Opponent, turns: TrainerCallback, steps: int, scratch: Path) -> Any:
    """TRL's trainer; its options are explained at the top of this file."""
    from datasets import Dataset
    from transformers import PrinterCallback

    # Optional during type checking, and TRL does not export these names.
    trl: Any = importlib.import_module("trl")
    task = _task()
    config, protocol = spec.config, spec.protocol
    trainer = trl.GRPOTrainer(
        model=task.pretrained().model(),
        reward_funcs=opponent.reward,
        # The trainer sets the tokenizer's padding.
        processing_class=copy.deepcopy(task.pretrained().tokenizer),
        train_dataset=Dataset.from_list(opponent.rows()),
        callbacks=[turns],
        args=trl.GRPOConfig(
            output_dir=str(scratch),
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            max_steps=steps,
            per_device_train_batch_size=protocol.minibatch,
            gradient_accumulation_steps=1,
            steps_per_generation=protocol.updates,
            num_iterations=1,
            shuffle_dataset=False,
            num_generations=task.group_size,
            max_completion_length=task.max_new_tokens,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            beta=0.0,
            loss_type="dr_grpo",
            scale_rewards=config["standardize"] == "group",
            epsilon=config["clip"],
            learning_rate=config["learning_rate"],
            lr_scheduler_type="linear" if config["anneal"] else "constant",
            adam_epsilon=1e-5,
            weight_decay=0.0,
            max_grad_norm=config["max_grad_norm"],
            seed=spec.seed,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
    )
    # The trainer prints a summary at the end.
    trainer.remove_callback(PrinterCallback)
    return trainer


def _both_sample(plan: LanguagePlan, copies: int, name: str, what: str) -> LanguageResult:
    sampler = _Sampler(copies)
    tally = _Tally(plan.sampling_blocks, plan.warm_up)
    sides = [(0, sampler.ours), (1, sampler.theirs)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for block in tally.duel:
            asked = sampler.prompts(block, plan.completions // copies)
            for side, sample in sides:
                start = time.perf_counter()
                tokens = sample(asked)
                tally.add(side, (time.perf_counter() - start) / tokens, tokens / plan.completions)
            sides.reverse()
    return tally.result(name, what, 1.0)


class _Sampler:
    """The shipped model with two ways to sample from it; each returns the number of sampled tokens."""

    def __init__(self, copies: int) -> None:
        self._task = _task()
        self._copies = copies
        self._ends = self._task.pretrained().ends
        self._policy = self._task.policy(self._task.pretrained().model())
        self._all = self._task.prompts(self._task.questions(TRAIN))
        self._rng = np.random.default_rng(0)

    def prompts(self, block: int, n: int) -> list[list[int]]:
        """The prompts of a block: different ones per block while there are enough."""
        return [self._all[i % len(self._all)] for i in range(block * n, (block + 1) * n)]

    def ours(self, asked: Sequence[list[int]]) -> int:
        longest = self._task.max_new_tokens
        noise = torch.from_numpy(self._rng.random((longest, len(asked) * self._copies)))
        done = complete(self._policy, Request(asked, self._copies, longest, self._ends, noise))
        return int(done.valid.sum())

    def theirs(self, asked: Sequence[list[int]]) -> int:
        model: Any = self._policy.model
        tokens, mask = _left_padded(asked, self._ends[0])
        done = model.generate(
            input_ids=tokens,
            attention_mask=mask,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=self._copies,
            max_new_tokens=self._task.max_new_tokens,
            eos_token_id=[*self._ends],
            pad_token_id=self._ends[0],
        )[:, tokens.shape[1] :]
        ended = torch.isin(done, torch.tensor(self._ends))
        return int((ended.cumsum(1) - ended.long() == 0).sum())


def _left_padded(asked: Sequence[list[int]], padding: int) -> tuple[Tensor, Tensor]:
    """Tokens [n, length] and their mask."""
    width = max(map(len, asked))
    tokens = torch.tensor([[padding] * (width - len(p)) + p for p in asked])
    return tokens, torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in asked])


def measure(names: Sequence[str], plan: LanguagePlan) -> Iterator[LanguageResult]:
    """Yield each result as soon as it is measured."""
    torch.set_num_threads(1)
    for name in names:
        yield MEASUREMENTS[name](plan)


def _context() -> dict[str, Any]:
    shared = context()
    return {k: shared[k] for k in ("cores", "machine", "python", "torch")} | {p: _installed(p) for p in PACKAGES}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=f"Ratios of speeds on {TASK}.")
    parser.add_argument("--quick", action="store_true", help="fewer and smaller blocks, not those of the targets")
    parser.add_argument("--only", action="append", choices=MEASUREMENTS, metavar="NAME", help=", ".join(MEASUREMENTS))
    parser.add_argument("--updates", type=int, metavar="U", help="of a phase: U × 32 completions (16; 4 with --quick)")
    parser.add_argument("--json", action="store_true", help="one document on stdout, nothing else")
    options = parser.parse_args(arguments)
    plan = QUICK if options.quick else LanguagePlan()
    plan = replace(plan, updates=options.updates or plan.updates)
    results = measure(options.only or list(MEASUREMENTS), plan)
    if options.json:
        found = [{**asdict(r), "verdict": r.verdict} for r in results]
        print(json.dumps({"context": _context(), "plan": asdict(plan), "results": found}, indent=2))
        return
    print(", ".join(f"{name} {value}" for name, value in _context().items()))
    print(f"{plan.updates} updates and {plan.completions} completions a phase, 1 torch thread")
    print(f"medians and quartiles of {plan.blocks} phases, of {plan.sampling_blocks} blocks of sampling")
    print("speeds in completions/s and tokens/s; then tokens a completion, both sides\n")
    print(_HEADING, "  length")
    for r in results:
        print(_row(r), "  {:.1f}/{:.1f}".format(*r.lengths), flush=True)


if __name__ == "__main__":
    main()
