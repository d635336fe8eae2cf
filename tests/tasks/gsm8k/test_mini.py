"""What is shipped: three sets apart by text, a fourth of templates that training never saw."""

from __future__ import annotations

import json
import lzma
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium

import lagbench
from lagbench import runner
from lagbench.tasks.gsm8k import data
from lagbench.tasks.gsm8k.data import MINI, MINI_DIRECTORY, MINI_HARD

SETS = ("supervised", "train", "test", "test-unseen")


def lines(name: str) -> list[dict[str, Any]]:
    text = lzma.decompress((MINI_DIRECTORY / f"{name}.jsonl.xz").read_bytes()).decode()
    return [json.loads(line) for line in text.strip().split("\n")]


def templates(name: str) -> Counter[int]:
    return Counter(line["template"] for line in lines(name))


def test_no_question_is_in_two_sets() -> None:
    texts = [line["question"] for name in SETS for line in lines(name)]
    assert len(texts) == len(set(texts)) > 18_000
    assert len(lines("test")) >= 1000
    assert len(lines("test-unseen")) >= 1000


def test_unseen_templates_are_in_no_other_set() -> None:
    seen = {t for name in ("supervised", "train", "test") for t in templates(name)}
    unseen = templates("test-unseen")
    assert not seen & unseen.keys()
    assert len(unseen) == 8
    assert templates("train").keys() == templates("test").keys() == templates("supervised").keys()
    assert len(set(templates("train").values())) == 1


def test_answers_are_whole_numbers() -> None:
    assert all(q.target.isdecimal() for name in SETS for q in data.load(MINI, name))


def test_each_supervised_question_has_a_right_and_a_mistaken_solution() -> None:
    """The mistake is in the last step, and what is computed there is computed right."""
    shares: dict[int, set[float]] = {}
    for line in lines("supervised"):
        solutions = [line[name].split("\n") for name in ("answer", "mistaken")]
        right, mistaken = solutions
        assert right[:-2] == mistaken[:-2]
        assert right[-1] != mistaken[-1]
        for *_, step, answer in solutions:
            bare = re.sub(r"[A-Za-z']{2,}", "", step)
            taken, result = re.findall(r"(\d+(?:\s*[-+*/x]\s*\d+)+)\s*=\s*(\d+)", bare)[-1]
            assert math.floor(eval(taken.replace("x", "*"))) == int(result)
            assert answer == f"#### {result}"
        shares.setdefault(line["template"], set()).add(line["right"])
    assert sorted(share for (share,) in shares.values()) == [
        0.15,
        0.15,
        0.25,
        0.25,
        0.35,
        0.35,
        0.45,
        0.45,
        0.6,
        0.6,
        0.8,
        0.8,
    ]


def test_the_hard_questions_are_those_of_which_the_model_was_mostly_shown_the_mistake() -> None:
    taught = {line["template"]: line["right"] for line in lines("supervised")}
    assert {template for template, right in taught.items() if right <= 0.35} == data.HARD
    for name, count in (("train", 2_400), ("test", 600)):
        hard = data.load(MINI_HARD, name)
        assert [q.question for q in hard] == [x["question"] for x in lines(name) if x["template"] in data.HARD]
        assert [q.number for q in hard] == list(range(count))
    # It comes with the package: nothing is pinned.
    options = lagbench.resolve(task="GSM8kMini-v0", task_options={"data": MINI_HARD}).task_options
    assert options["data"] == MINI_HARD
    assert "data_sha256" not in options


def test_the_environment() -> None:
    env = gymnasium.make("lagbench/GSM8kMini-v0", name="test")
    question, info = env.reset(seed=0)
    own = data.load(MINI, "test")[info["number"]]
    assert question == own.question
    assert env.step(own.solution)[1] == 1.0


def test_the_model_answers_as_its_card_says_and_learns_from_what_pays(tmp_path: Path) -> None:
    """Greedily 34% of 600 test questions; four phases of what it samples move it towards the way that is paid."""
    spec = lagbench.resolve(
        algo="ppo", task="GSM8kMini-v0", updates=8, budget=1024, eval_episodes=100, eval_intervals=1, record="episodes"
    )
    run = runner.execute(spec, tmp_path / "run")
    first, last = (point.mean for point in run.curve("mode"))
    assert 0.24 < first < 0.44
    assert last > first + 0.1
    # What the card calls sampled.
    rows = run.phases.to_table(columns=["accuracy", "logprob_mismatch_max", "ended_fraction"]).to_pylist()
    assert 0.3 < rows[0]["accuracy"] < 0.5
    assert 0 < rows[0]["logprob_mismatch_max"] < 1e-3
    assert rows[0]["ended_fraction"] > 0.98
