"""GSM8k as Gymnasium has it: one question, one completion."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Text
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

import lagbench  # noqa: F401 - makes the tasks known
from lagbench.errors import UsageError
from lagbench.tasks.gsm8k.environment import AnyText


def make(data: Path, **options: Any) -> Any:
    return gymnasium.make("lagbench/GSM8k-v0", data=str(data), **options)


def test_gymnasiums_checker_passes(data: Path) -> None:
    with warnings.catch_warnings():
        # It would have actions of numbers, normalised.
        warnings.filterwarnings("ignore", message=".*observation space.*Box.*")
        check_env(make(data).unwrapped, skip_render_check=True)


def test_a_question_is_answered_once(data: Path) -> None:
    env = make(data).unwrapped
    question, info = env.reset(options={"number": 3})
    assert question == "Ann has 4 figs and eats 1. How many are left?"
    assert info == {"number": 3}
    observation, reward, terminated, truncated, info = env.step("4-1=3, so\n#### 3")
    assert (observation, reward, terminated, truncated) == (question, 1.0, True, False)
    assert info == {
        "number": 3,
        "target": "3",
        "strict": "3",
        "flexible": "3",
        "correct_flexible": True,
        "grader_version": 1,
    }
    with pytest.raises(ResetNeeded, match="each question can be answered once"):
        env.step("#### 3")


@pytest.mark.parametrize(("completion", "reward"), [("#### 3", 1.0), ("3", 0.0), ("", 0.0), ("#### 4", 0.0)])
def test_the_strict_rule_pays(data: Path, completion: str, reward: float) -> None:
    env = make(data)
    env.reset(options={"number": 3})
    assert env.step(completion)[1] == reward


def test_a_seed_draws_the_same_questions(data: Path) -> None:
    env = make(data)
    drawn = [[env.reset(seed=s)[1]["number"], *(env.reset()[1]["number"] for _ in range(5))] for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_other_sets(data: Path) -> None:
    env = make(data, name="test")
    assert env.reset(options={"number": 0})[0] == "Ann has 13 figs and eats 1. How many are left?"
    with pytest.raises(UsageError, match="there is no question 6; there are 6, from 0"):
        env.reset(options={"number": 6})
    with pytest.raises(UsageError, match="reset takes the option 'number' only"):
        env.reset(options={"numbr": 6})
    with pytest.raises(UsageError, match=r"has no dev\.jsonl: it has the sets test, train; give"):
        make(data, name="dev")
    with pytest.raises(UsageError, match="unknown task option 'dta'; did you mean 'data'"):
        gymnasium.make("lagbench/GSM8k-v0", dta="")


@given(st.text())
def test_any_string_is_in_the_space(text: str) -> None:
    assert text in AnyText()


def test_the_space_is_one_of_text() -> None:
    space = AnyText()
    assert isinstance(space, Text)
    assert space == AnyText()
    assert space != Text(1 << 10)
    assert repr(space) == "AnyText()"
    space.seed(3)
    first = space.sample()
    space.seed(3)
    assert space.sample() == first
    assert pickle.loads(pickle.dumps(space)) == space
    for other in (None, 3, b"text", ["text"]):
        assert other not in space
