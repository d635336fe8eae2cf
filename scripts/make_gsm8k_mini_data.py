"""Make the questions of GSM8kMini from reasoning-gym's gsm_symbolic.

    pip install reasoning-gym==0.1.25
    python scripts/make_gsm8k_mini_data.py

The files are reproducible byte for byte, and frozen: a change requires a new task with another id.
"""

from __future__ import annotations

import json
import lzma
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import click

from lagbench.tasks.gsm8k.data import MINI_DIRECTORY
from lagbench.tasks.gsm8k.grading import extract_strict

SEED = 20_261_122
# Selected from the 24 shortest templates without repetitions: those of which a model trained on all (as in
# make_gsm8k_mini_model.py) answered 40% of the questions neither always right nor always wrong in eight attempts,
# except one with solutions twice as long as the others'. One in four had been held out of all training.
TRAINED = (43, 10, 58, 62, 72, 78, 95, 20, 39, 75, 4, 14)
UNSEEN = (48, 16, 69, 85, 91, 67, 55, 44)
# The share of right solutions in a template's training data; the rest have another operation in the last step. The
# model learns both, and RL has to find out, for each template, which one is rewarded.
RIGHT = (0.8, 0.15, 0.45, 0.25, 0.6, 0.35)
OTHER = {"+": "-", "-": "+", "*": "+", "x": "+", "/": "-"}
# Questions per template and set, drawn from each template in this order, so that a set does not depend on the templates
# of another.
COUNTS = {"supervised": 1500, "train": 400, "test": 100}
UNSEEN_COUNT = 128
_TRIES = 20


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), default=MINI_DIRECTORY, show_default=True)
def main(out: Path) -> None:
    """Write the four sets and print their sizes."""
    sets: dict[str, list[dict[str, Any]]] = {name: [] for name in (*COUNTS, "test-unseen")}
    taken: set[str] = set()
    for i, template in enumerate(TRAINED):
        fresh = made(template, taken)
        for name, count in COUNTS.items():
            own = [next(fresh) for _ in range(count)]
            if name == "supervised":
                own = [{**row, "mistaken": mistaken(row["answer"]), "right": RIGHT[i % len(RIGHT)]} for row in own]
            sets[name] += own
    for template in UNSEEN:
        fresh = made(template, taken)
        sets["test-unseen"] += [next(fresh) for _ in range(UNSEEN_COUNT)]
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in sets.items():
        Random(f"{SEED} {name}").shuffle(rows)
        file = out / f"{name}.jsonl.xz"
        file.write_bytes(packed(rows))
        templates = len({row["template"] for row in rows})
        click.echo(f"{file}: {len(rows):,} questions of {templates} templates, {file.stat().st_size:,} bytes")


def made(template: int, taken: set[str]) -> Iterator[dict[str, Any]]:
    """Generate a template's questions, without those ``taken``. Raises RuntimeError if it has no more."""
    from reasoning_gym.arithmetic.gsm_symbolic.gsm_symbolic import GSMSymbolicDataset, GSMSymbolicDatasetConfig

    make = GSMSymbolicDataset(GSMSymbolicDatasetConfig(seed=0, size=1)).generators[template]
    rng, missed = Random(f"{SEED} {template}"), 0
    while missed < _TRIES * sum(COUNTS.values()):
        example = make(rng, 1.0)
        question = " ".join(example["question"].split())
        solution = example["metadata"]["answer_cot"].strip()
        target = extract_strict(solution)
        # Only integers, without rounding in intermediate steps, as in GSM8K.
        if question in taken or target is None or target != example["answer"] or not target.isdecimal():
            missed += 1
            continue
        taken.add(question)
        yield {"question": question, "answer": solution, "template": template}
    raise RuntimeError(f"template {template} has too few questions")


_STEP = re.compile(r"(\d+(?: [a-z]{2,})?(?: ?[-+*/x] ?\d+(?: [a-z]{2,})?)+)( ?= ?)(\d+)")
_SIGN = re.compile(r"( ?)([-+*/x])( ?)(?=\d)")


def mistaken(solution: str) -> str:
    """The solution with another operation in its last step. Raises ValueError if no step can be parsed."""
    *steps, last, _ = solution.split("\n")
    *_, step = _STEP.finditer(last)
    taken, equals, result = step.groups()
    changed = _SIGN.sub(lambda sign: sign[1] + OTHER[sign[2]] + sign[3], taken)
    first, *rest = (int(x) for x in re.findall(r"\d+", changed))
    signs = [sign[2] for sign in _SIGN.finditer(changed)]
    found = first + sum(x if sign == "+" else -x for sign, x in zip(signs, rest, strict=True))
    if found < 0:
        (second,) = rest
        found = -found
        changed = re.sub(r"\d+", lambda x: str(second if int(x[0]) == first else first), changed)
    before = re.sub(rf"\b{result}\b", str(found), last[: step.start()])
    return "\n".join([*steps, f"{before}{changed}{equals}{found}{last[step.end() :]}", f"#### {found}"])


def packed(rows: Iterable[dict[str, Any]]) -> bytes:
    """JSON lines at the highest compression."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return lzma.compress(lines.encode(), preset=9 | lzma.PRESET_EXTREME)


if __name__ == "__main__":
    main()
