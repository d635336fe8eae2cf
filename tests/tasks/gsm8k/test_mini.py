"""What is shipped: three sets apart by text, a fourth of templates that training never saw."""

from __future__ import annotations

import json
import lzma
from collections import Counter

import gymnasium
import pytest

import lagbench  # noqa: F401 - makes the tasks known
from lagbench.tasks.gsm8k import data
from lagbench.tasks.gsm8k.data import MINI, MINI_DIRECTORY

SETS = ("supervised", "train", "test", "test-unseen")


@pytest.fixture(scope="module")
def questions() -> dict[str, tuple[data.Question, ...]]:
    return {name: data.load(MINI, name) for name in SETS}


def templates(name: str) -> Counter[int]:
    lines = lzma.decompress((MINI_DIRECTORY / f"{name}.jsonl.xz").read_bytes()).decode().strip().split("\n")
    return Counter(json.loads(line)["template"] for line in lines)


def test_no_question_is_in_two_sets(questions: dict[str, tuple[data.Question, ...]]) -> None:
    texts = [q.question for name in SETS for q in questions[name]]
    assert len(texts) == len(set(texts)) > 36_000
    assert len(questions["test"]) >= 1000
    assert len(questions["test-unseen"]) >= 1000


def test_unseen_templates_are_in_no_other_set() -> None:
    seen = {t for name in ("supervised", "train", "test") for t in templates(name)}
    unseen = templates("test-unseen")
    assert not seen & unseen.keys()
    assert len(unseen) == 8
    assert templates("train").keys() == templates("test").keys() <= templates("supervised").keys()
    assert len(set(templates("train").values())) == 1


def test_answers_are_whole_numbers(questions: dict[str, tuple[data.Question, ...]]) -> None:
    assert all(q.target.isdecimal() for name in SETS for q in questions[name])


def test_the_environment() -> None:
    env = gymnasium.make("lagbench/GSM8kMini-v0", name="test")
    question, info = env.reset(seed=0)
    own = data.load(MINI, "test")[info["number"]]
    assert question == own.question
    assert env.step(own.solution)[1] == 1.0
