"""What is shipped: three sets apart by text, a fourth of templates that training never saw."""

from __future__ import annotations

import json
import lzma
from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium

import lagbench
from lagbench import runner
from lagbench.tasks.gsm8k import data, grading
from lagbench.tasks.gsm8k.data import MINI, MINI_DIRECTORY

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
    assert all(q.target.isdecimal() for name in SETS[1:] for q in data.load(MINI, name))


def test_supervised_solutions_end_in_two_ways_whose_answers_are_right() -> None:
    """Every other template in a sentence six times in ten, the rest one time in ten."""
    said: dict[int, list[bool]] = {}
    for line in lines("supervised"):
        answer = grading.extract_flexible(line["answer"])
        assert answer is not None
        assert answer.isdecimal()
        strict = grading.extract_strict(line["answer"])
        assert strict == (answer if "#### " in line["answer"] else None)
        said.setdefault(line["template"], []).append(strict is None)
    assert sorted(sum(each) / len(each) for each in said.values()) == [0.1] * 6 + [0.6] * 6


def test_the_environment() -> None:
    env = gymnasium.make("lagbench/GSM8kMini-v0", name="test")
    question, info = env.reset(seed=0)
    own = data.load(MINI, "test")[info["number"]]
    assert question == own.question
    assert env.step(own.solution)[1] == 1.0


def test_the_model_answers_as_its_card_says_and_learns_from_what_pays(tmp_path: Path) -> None:
    """Greedily 37% of 600 test questions; two phases of what it samples move it towards the way that is paid."""
    spec = lagbench.resolve(
        algo="ppo", task="GSM8kMini-v0", updates=8, budget=1024, eval_episodes=100, eval_intervals=1, record="episodes"
    )
    run = runner.execute(spec, tmp_path / "run")
    first, last = (mean for _, mean, _ in run.curve())
    assert 0.27 < first < 0.47
    assert last > first + 0.1
    # What the card calls flexible, of what is sampled.
    rows = run.phases.to_table(columns=["accuracy_flexible", "logprob_mismatch_max", "ended_fraction"]).to_pylist()
    assert 0.45 < rows[0]["accuracy_flexible"] < 0.7
    assert 0 < rows[0]["logprob_mismatch_max"] < 1e-3
    assert rows[0]["ended_fraction"] > 0.98
