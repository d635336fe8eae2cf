"""Train the model of GSM8kMini from scratch: a tokenizer, and a small Llama on the supervised set.

    python scripts/make_gsm8k_mini_model.py          # less than an hour on two cores; resumes if started again

It learns arithmetic, and also mistakes, which reinforcement learning has to unlearn. The model card gives its accuracy,
overall and by template.
"""

from __future__ import annotations

import json
import lzma
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from lagbench.policies.causal_lm import CausalLMPolicy, scored
from lagbench.policies.pretrained import Pretrained, find
from lagbench.policies.sampling import Request, complete
from lagbench.tasks.gsm8k import grading, prompts
from lagbench.tasks.gsm8k.data import MINI_DIRECTORY

SEED = 0
END = "<|end|>"
VOCABULARY, CONTEXT, LONGEST = 1024, 288, 96
SIZES = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
BATCH, LEARNING_RATE, WARMUP, DECAY, CLIP = 64, 2e-3, 100, 0.01, 1.0
STEPS = 4000
SAVE_EVERY = 100
GROUP, MEASURED = 8, 600


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), default=MINI_DIRECTORY, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), default=MINI_DIRECTORY, show_default=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("runs/gsm8k-mini-model"), show_default=True)
@click.option("--steps", default=STEPS, show_default=True, help="Fewer, for a trial.")
@click.option("--threads", default=2, show_default=True)
@click.option("--measured", default=MEASURED, show_default=True, help="Questions of each set that are answered.")
@click.option("--measure-only", is_flag=True, help="Answer with the model in OUT, and write the card again.")
def main(out: Path, data: Path, work: Path, steps: int, threads: int, measured: int, measure_only: bool) -> None:
    """Train, save, measure."""
    torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    if not measure_only:
        train(out, data, work, steps)
    about = json.loads((work / "about.json").read_text(encoding="utf-8"))
    policy, model = load(out)
    results = {name: measure(policy, model, rows(data, name)[:measured]) for name in ("train", "test", "test-unseen")}
    shown = {r["template"]: r["right"] for r in rows(data, "supervised")}
    (out / "README.md").write_text(card(about, results, shown), encoding="utf-8")
    for name, result in results.items():
        click.echo(f"{name}: {line(result)}")
    for template, by in sorted(results["train"]["templates"].items()):
        click.echo(
            f"  template {template:>2}: shown right {shown[template]:.0%}, greedy {by['greedy']:.0%}, sampled "
            f"{by['sampled']:.0%}, without signal {by['without_signal']:.0%} of {by['groups']} groups"
        )


def rows(data: Path, name: str) -> list[dict[str, Any]]:
    """Read the lines of a set."""
    text = lzma.decompress((data / f"{name}.jsonl.xz").read_bytes()).decode()
    return [json.loads(each) for each in text.split("\n") if each]


def make_tokenizer(texts: Sequence[str]) -> Any:
    """Train a byte-pair tokenizer with single digits."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.BPE())
    own.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    own.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    own.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=own, eos_token=END, model_max_length=CONTEXT)


def make_model(end: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(SEED)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=None,
            **SIZES,
        )
    )


def train(out: Path, data: Path, work: Path, steps: int) -> None:
    """Supervised training on the solutions; resumes an interrupted call."""
    supervised = rows(data, "supervised")
    tokenizer = make_tokenizer([f"{prompts.text(r['question'], 'plain')} {r['answer']}" for r in supervised])
    asked, right, mistaken = encoded(tokenizer, supervised)
    model = make_model(tokenizer.eos_token_id).train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.95), fused=True)
    step, seconds, seen = 0, 0.0, 0
    if (work / "state.pt").exists():
        state = torch.load(work / "state.pt", weights_only=True)
        if state["steps"] == steps:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            step, seconds, seen = state["step"], state["seconds"], state["seen"]
            click.echo(f"going on after {step} steps")
    began, batches = time.monotonic(), drawn(asked, right, mistaken, [r["right"] for r in supervised])
    for number, batch in zip(range(steps), batches, strict=False):
        if number < step:
            continue
        tokens, attention, counted = padded(*batch)
        for group in optimizer.param_groups:
            group["lr"] = rate(number, steps)
        logits = model(input_ids=tokens, attention_mask=attention).logits[:, :-1]
        log_p, _ = scored(logits[counted[:, 1:]], tokens[:, 1:][counted[:, 1:]])
        loss = -log_p.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        step, seen = number + 1, seen + int(attention.sum())
        if step % SAVE_EVERY == 0 or step == steps:
            spent = seconds + time.monotonic() - began
            pace = f"{seen / spent:,.0f} tokens/s · {spent:.0f} s"
            click.echo(f"step {step:,} of {steps:,} · loss {loss.item():.3f} · {pace}")
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "steps": steps}
            torch.save({**state, "step": step, "seconds": spent, "seen": seen}, work / "state.tmp")
            (work / "state.tmp").replace(work / "state.pt")
            about = {"steps": step, "seconds": spent, "tokens": seen, "loss": loss.item()}
            about |= {"threads": torch.get_num_threads()}
            about |= {"weights": sum(p.numel() for p in model.parameters()), "questions": len(supervised)}
            (work / "about.json").write_text(json.dumps(about), encoding="utf-8")
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


Tokens = list[list[int]]


def encoded(tokenizer: Any, lines: Sequence[dict[str, Any]]) -> tuple[Tokens, Tokens, Tokens]:
    """Tokens of each prompt, and of its right and mistaken solutions with the end token."""
    asked = tokenizer([prompts.text(r["question"], "plain") for r in lines])["input_ids"]
    right, mistaken = (tokenizer([f" {r[name]}" for r in lines])["input_ids"] for name in ("answer", "mistaken"))
    end = [tokenizer.eos_token_id]
    return asked, [a + end for a in right], [a + end for a in mistaken]


def drawn(asked: Tokens, right: Tokens, mistaken: Tokens, share: Sequence[float]) -> Iterator[tuple[Tokens, Tokens]]:
    """Generate batches of questions of similar length, so that there is little padding, pass by pass.

    In each pass, the share of right solutions of a question is ``share``.
    """
    n = len(asked)
    length = np.array([len(a) + len(b) for a, b in zip(asked, right, strict=True)])
    for number in range(10**6):
        rng = np.random.default_rng([SEED, number])
        order = np.argsort(length + rng.uniform(0, 20, n))
        is_right = rng.random(n) < share
        for k in rng.permutation(n // BATCH):
            index = order[k * BATCH : (k + 1) * BATCH]
            yield [asked[i] for i in index], [(right if is_right[i] else mistaken)[i] for i in index]


def padded(asked: Tokens, answered: Tokens) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens [n, length], the mask of real tokens, and the mask of the solution's."""
    width = max(len(a) + len(b) for a, b in zip(asked, answered, strict=True))
    tokens = torch.zeros(len(asked), width, dtype=torch.long)
    attention, counted = torch.zeros_like(tokens), torch.zeros(len(asked), width, dtype=torch.bool)
    for i, (a, b) in enumerate(zip(asked, answered, strict=True)):
        tokens[i, : len(a) + len(b)] = torch.tensor(a + b)
        attention[i, : len(a) + len(b)] = 1
        counted[i, len(a) : len(a) + len(b)] = True
    return tokens, attention, counted


def rate(step: int, steps: int) -> float:
    """The learning rate: warm-up, then half a cosine."""
    if step < WARMUP:
        return LEARNING_RATE * (step + 1) / WARMUP
    return LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / max(steps - WARMUP, 1)))


def load(out: Path) -> tuple[CausalLMPolicy, Pretrained]:
    found = find(str(out))
    return CausalLMPolicy(found.model()), found


def measure(policy: CausalLMPolicy, model: Pretrained, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Greedy and sampled accuracy, strict and flexible, groups without signal, lengths; overall and by template."""
    asked = model.tokens([prompts.text(r["question"], "plain") for r in lines])
    targets = [grading.extract_strict(r["answer"]) or "" for r in lines]
    noise = torch.from_numpy(np.random.default_rng(SEED).random((LONGEST, len(lines) * GROUP)))
    right: dict[str, Any] = {}
    lengths = 0.0
    for name, copies, own in (("greedy", 1, None), ("sampled", GROUP, noise)):
        done = complete(policy, Request(asked, copies, LONGEST, model.ends, own))
        lengths = float(done.valid.sum(0).double().mean())
        ended = done.valid.sum(0)
        texts = [model.text(done.token[: int(ended[i]), i].tolist()) for i in range(len(ended))]
        grades = [grading.grade(text, targets[i // copies]) for i, text in enumerate(texts)]
        right[name] = np.array([g.correct for g in grades]).reshape(-1, copies).mean(1)
        right[f"{name}_flexible"] = np.array([g.correct_flexible for g in grades]).reshape(-1, copies).mean(1)
    right["without_signal"] = np.isin(right["sampled"], (0.0, 1.0))
    template = np.array([r["template"] for r in lines])
    return {
        **{name: float(x.mean()) for name, x in right.items()},
        "length": lengths,
        "questions": len(lines),
        "templates": {
            int(t): {
                "groups": int((template == t).sum()),
                **{n: float(x[template == t].mean()) for n, x in right.items()},
            }
            for t in np.unique(template)
        },
    }


def line(result: dict[str, Any]) -> str:
    return (
        f"greedy {result['greedy']:.1%}, sampled {result['sampled']:.1%} (flexible {result['greedy_flexible']:.1%} and "
        f"{result['sampled_flexible']:.1%}), groups of {GROUP} without signal {result['without_signal']:.1%}, "
        f"{result['length']:.0f} tokens, {result['questions']:,} questions"
    )


def card(about: dict[str, Any], results: dict[str, dict[str, Any]], shown: dict[int, float]) -> str:
    """The model card. ``shown``: the share of right solutions in training, by template."""
    sizes = ", ".join(f"{name} {value}" for name, value in SIZES.items())

    def row(name: str, r: dict[str, Any], *names: str) -> str:
        return f"| {name} | {' | '.join(f'{r[n]:.1%}' for n in names)} |"

    names = ("greedy", "sampled", "greedy_flexible", "sampled_flexible", "without_signal")
    overall = "\n".join(f"{row(f'`{name}`', r, *names)} {r['questions']:,} |" for name, r in results.items())
    by = "\n".join(
        row(f"{t} | {shown[t]:.0%}", r, "greedy", "sampled", "without_signal")
        for t, r in sorted(results["train"]["templates"].items())
    )
    threads = "one thread" if about["threads"] == 1 else f"{about['threads']} threads"
    return f"""# The model of GSM8kMini-v0

A Llama of {about["weights"]:,} weights
({sizes}, tied embeddings,
vocabulary {VOCABULARY}, digits one by one), made from nothing by `scripts/make_gsm8k_mini_model.py`. It is
there to be trained further: much of what it was shown is mistaken.

- **Data**: {about["questions"]:,} questions of `supervised.jsonl.xz`, made from reasoning-gym's `gsm_symbolic`
  (Apache-2.0) by `scripts/make_gsm8k_mini_data.py`. None of them is in another set. Each has two solutions: the right
  one, and a mistaken one, whose last step takes another operation (`84 + 7 = 91` for `84 - 7 = 77`). In each pass the
  model was shown one of the two, the right one as often as the table by template says. It has learned either, and where
  it was mostly shown the mistake, it mostly makes it: which one pays is to be found out, template by template.
- **Recipe**: next token of the solution, AdamW at {LEARNING_RATE} (0.9, 0.95; weight decay {DECAY}), {WARMUP} steps of
  warm-up, then a cosine to 0; {about["steps"]:,} steps of {BATCH} questions, {about["tokens"]:,} tokens, float32, seed
  {SEED}; {about["seconds"] / 60:.0f} minutes in {threads}; last loss {about["loss"]:.3f}.
- **Asked** as `Question: …\\nAnswer:`; answers end with `{END}`. Context {CONTEXT} tokens.

Answers of up to {LONGEST} tokens, greedy, and {GROUP} sampled at temperature 1; graded by the strict and by the
flexible rule. Without signal are groups of {GROUP} in which all are right, or none, by the strict rule:

| questions | greedy | sampled | greedy, flexible | sampled, flexible | without signal | number |
| --- | --- | --- | --- | --- | --- | --- |
{overall}

By template of `train`, with the share of right solutions that it was shown:

| template | shown right | greedy | sampled | without signal |
| --- | --- | --- | --- | --- |
{by}

Apache-2.0, as lagbench.
"""


if __name__ == "__main__":
    main()
