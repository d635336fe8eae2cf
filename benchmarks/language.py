"""How fast a language model learns and answers here, as ratios of speeds on GSM8kMini-v0; in turns, block by block.

    python -m benchmarks.language [--quick] [--only phase] [--updates 16] [--json]

``phase``: a phase of PPO (generate, grade, update U times) against TRL's GRPOTrainer, in completions a second.

Alike on both sides: the model and what it starts from, float32, one torch thread, eager PyTorch; the prompts, in their
order, 8 completions of each, at temperature 1 from the whole vocabulary, up to the same limit; the grader; U optimizer
updates a phase on minibatches of 32 completions, one pass; the loss (TRL's ``dr_grpo`` without scaled rewards is PPO's
clip on rewards centred in their group, over completions × longest), clip, learning rate and its decay, Adam's
constants, the norm at which gradients are clipped.

TRL has the settings under which it was fastest here: all completions of a phase from one batch
(``steps_per_generation`` = U), no gradient checkpointing, no bf16 (its defaults are both), transformers' ``generate``
with its dynamic cache, whole minibatches. A static cache was no faster, smaller micro-batches neither, transformers'
continuous batching six times slower; vLLM is left out. It logs, saves and evaluates nothing. With U = 1 it takes the
policy that is updated for the one that sampled; from U = 2 on it computes the log-probabilities of the phase once more
before the updates, as lagbench always does. U = 16 is what the presets were searched at; with fewer updates, and so
fewer completions at once, TRL is closer.

Not alike, each to lagbench's cost: it records every completion and saves a checkpoint each phase; it keeps the
log-probabilities of its sampling; and it evaluates the phase once more after the updates, for its diagnostics.

``generate``: sampling alone (``policies/sampling.py``) against transformers' ``generate`` of the same prompts in one
left-padded batch, from the whole vocabulary, in tokens a second, each up to its end token, itself included. 512
completions, 8 of each prompt (``num_return_sequences``); lagbench computes a prompt once for all 8, transformers once
for each. ``generate-alone``: one completion of each of 512 prompts. Here lagbench also gives the log-probabilities, and
its noise comes from a generator of its own, so that a run can be repeated.
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
# What a duel is told are seconds for one completion or one token already.
_ONE = Plan(actors=1, steps=1)


@dataclass(frozen=True)
class LanguagePlan:
    """How much is measured, and on what shape of phase. The targets are for the default shape."""

    updates: int = 16
    minibatch: int = 32
    blocks: int = 6
    sampling_blocks: int = 10
    warm_up: int = 1

    @property
    def completions(self) -> int:
        """Of a phase, and of a block of sampling."""
        return self.updates * self.minibatch


QUICK = LanguagePlan(updates=4, blocks=3, sampling_blocks=4)


@dataclass(frozen=True)
class LanguageResult(Result):
    """One ratio; speeds are completions or tokens a second.

    Attributes:
        lengths: tokens of a completion, the mean on each side: what they sample is not the same.
    """

    lengths: tuple[float, float]


class _Tally:
    """A duel, and how many tokens each side's completions had in the blocks that count."""

    def __init__(self, blocks: int, warm_up: int) -> None:
        self.duel = Duel(blocks, warm_up)
        self._warm_up = warm_up
        self._lengths: tuple[list[float], list[float]] = ([], [])

    def add(self, side: int, seconds: float, length: float) -> None:
        """What side 0 or 1 took for one unit of its next block, and its tokens a completion."""
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
        # What TRL and transformers warn of is between them.
        warnings.simplefilter("ignore")
        turns = _Turns(tally, _phases(spec, Path(scratch) / "run"), opponent, plan)
        trainer = _grpo(spec, opponent, turns, plan.updates * (plan.warm_up + plan.blocks), Path(scratch) / "trl")
        trainer.train()
    return tally.result("phase", "a phase of PPO ÷ TRL's GRPOTrainer", 1.5)


def against_generate(plan: LanguagePlan) -> LanguageResult:
    """Sampling, against transformers' generate; see the top of this file."""
    return _both_sample(plan, _task().group_size, "generate", "sampling ÷ transformers' generate")


def against_generate_alone(plan: LanguagePlan) -> LanguageResult:
    """As ``against_generate``, with no prompt in common: there is none to compute only once."""
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
    # A phase more than counts: the first evaluation falls into the warm-up, the last into that phase.
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
    """What the phases of a run ask, one after the other: the training set in the order of its first pass."""
    train_set = _task().questions(TRAIN)
    order = generator(spec.seed, Stream.ENVIRONMENT, 0).permutation(len(train_set))
    return [train_set[i] for i in order[: spec.budget // _task().group_size]]


def _phases(spec: RunSpec, path: Path) -> Iterator[PhaseResult]:
    """What ``lagbench.run`` does in a phase, a phase at a time."""
    with RunWriter.create(path, spec, **record_sizes(spec)) as writer:
        checkpoint = Checkpoint(path / CHECKPOINT)
        for result in train(spec):
            writer.commit(result.record)
            checkpoint.save(spec, result.state(), writer.committed())
            yield result


class _Opponent:
    """TRL's questions and its grader, which notes what was asked and how long the answers were."""

    def __init__(self, questions: Sequence[Question]) -> None:
        self.questions = questions
        self.asked: list[int] = []
        self.length = 0.0

    def rows(self) -> list[dict[str, Any]]:
        """A data set as TRL takes it."""
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
        """Of a phase's completions, as TRL calls it."""
        self.asked = list(number)
        self.length = float(np.mean([len(ids) for ids in completion_ids]))
        return [float(grading.grade(c, t).correct) for c, t in zip(completions, target, strict=True)]


class _Turns(TrainerCallback):  # type: ignore[misc]
    """Has lagbench do a phase each time that TRL has done one."""

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
    """TRL's trainer; what the options are for is said at the top of this file."""
    from datasets import Dataset
    from transformers import PrinterCallback

    # Not everywhere that this is type-checked is it installed, and its names are not exported.
    trl: Any = importlib.import_module("trl")
    task = _task()
    config, protocol = spec.config, spec.protocol
    trainer = trl.GRPOTrainer(
        model=task.pretrained().model(),
        reward_funcs=opponent.reward,
        # It sets the tokenizer's padding.
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
    # It prints a summary at the end.
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
    """The shipped model, and two ways to sample from it; each returns how many tokens it sampled."""

    def __init__(self, copies: int) -> None:
        self._task = _task()
        self._copies = copies
        self._ends = self._task.pretrained().ends
        self._policy = self._task.policy(self._task.pretrained().model())
        self._all = self._task.prompts(self._task.questions(TRAIN))
        self._rng = np.random.default_rng(0)

    def prompts(self, block: int, n: int) -> list[list[int]]:
        """Those of a block: each has its own, as long as there are any."""
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
    """Tokens [n, length], and where they are any."""
    width = max(map(len, asked))
    tokens = torch.tensor([[padding] * (width - len(p)) + p for p in asked])
    return tokens, torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in asked])


def measure(names: Sequence[str], plan: LanguagePlan) -> Iterator[LanguageResult]:
    """The results, each as soon as it is there."""
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
