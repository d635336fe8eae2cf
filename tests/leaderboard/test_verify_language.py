"""Completions are graded again and held to the policy that is said to have written them; it answers fresh questions."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lagbench import evaluate, runner
from lagbench.leaderboard import draws
from lagbench.leaderboard.former import Submission
from lagbench.leaderboard.verification import Verification
from lagbench.leaderboard.verify import verify
from lagbench.records.reader import open_run
from lagbench.spec import EvaluationPlan, resolve
from lagbench.tasks.gsm8k import data
from tests.leaderboard.submitted import change_final, hash_again, lay_out
from tests.records.forge import Columns
from tests.tasks.gsm8k.tiny import make_data, make_model

NONCE = "5a" * 32


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("language")
    places = {"data": str(make_data(path / "data")), "model": str(make_model(path / "model"))}
    return {**places, "prompt": "plain", "max_new_tokens": 8}


@pytest.fixture(scope="module")
def submitted(places: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Submission:
    """By sampled answers."""
    return submission(places, tmp_path_factory.mktemp("submitted"))


@pytest.fixture(scope="module")
def greedy(places: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Submission:
    """By greedy answers, as of version 0, which the policy file alone gives again."""
    return submission(places, tmp_path_factory.mktemp("greedy"), EvaluationPlan(4, 2))


def submission(places: dict[str, Any], path: Path, plan: EvaluationPlan | None = None) -> Submission:
    options: dict[str, Any] = {
        "algo": "ppo",
        "task": "GSM8k-v0",
        "task_options": places,
        "eval_episodes": 4,
        "eval_intervals": 2,
    }
    spec = resolve(**options, budget=128, updates=2, record="episodes")
    runner.execute(dataclasses.replace(spec, evaluation=plan or spec.evaluation), path / "run")
    return lay_out([path / "run"], path / "mine")


@pytest.mark.parametrize(("name", "policy"), [("greedy", "ok"), ("submitted", "skipped")])
def test_an_honest_run(name: str, policy: str, request: pytest.FixtureRequest) -> None:
    """Which tokens are sampled, the policy file alone does not say."""
    submitted: Submission = request.getfixturevalue(name)
    found = verify(submitted, episodes=20, nonce=NONCE)
    assert {check.name: check.outcome for check in found.checks} == {
        "content hash": "ok",
        "evaluation plan": "ok",
        "staleness draws": "ok",
        "behaviour versions": "skipped",
        "episode sums": "skipped",
        "evaluation grades": "ok",
        "policy": policy,
        "re-evaluation": "ok",
    }
    assert found.tolerance == {"logit": 1e-2}
    (one,) = found.reevaluated
    assert set(one.returns) <= {0.0, 1.0}
    assert verify(submitted, episodes=20, nonce=NONCE) == found


def test_fresh_questions_are_drawn_from_all_of_the_test_set(greedy: Submission, places: dict[str, Any]) -> None:
    run = open_run(greedy.runs()[0].path)
    seeds = draws.seeds(greedy.sha256, NONCE, greedy.runs()[0].name, 60)
    played: Any = evaluate(run, seeds)
    asked = [one.prompt_id for one in played]
    questions = data.load(places["data"], "test")
    assert set(asked) == set(range(len(questions)))
    assert asked[:4] != [0, 1, 2, 3]
    assert all(one.question == questions[one.prompt_id].question for one in played)
    # The same question is answered alike, whatever the seed: greedily, as in the final evaluation.
    final = {episode.prompt_id: episode.token.tolist() for episode in greedy.runs()[0].final_episodes()}
    answers = {one.prompt_id: one.token.tolist() for one in played}
    assert {number: answers[number] for number in final} == final


def altered(submitted: Submission, path: Path, change: Callable[[Columns], Any]) -> Verification:
    shutil.copytree(submitted.path, path)
    change_final(path / submitted.runs()[0].name, change)
    return verify(hash_again(path), episodes=2, nonce=NONCE)


def right(columns: Columns) -> None:
    """The answer that was wanted, graded as it should be."""
    target = columns["target"][1]
    columns["completion"][1] = f"#### {target}"
    columns["strict"][1] = columns["flexible"][1] = target
    columns["correct_flexible"][1], columns["return"][1] = True, 1.0


def easy(columns: Columns) -> None:
    """Another question, of which the completion is the answer."""
    right(columns)
    columns["question"][1] = "What is one and one?"


def longest(columns: Columns) -> int:
    return int(np.argmax(columns["length"]))


def cut(columns: Columns) -> None:
    """A completion that ends where it suits."""
    i = longest(columns)
    assert columns["length"][i] > 3
    columns["token"][i] = columns["token"][i][:3]
    columns["length"][i], columns["terminated"][i], columns["truncated"][i] = 3, False, True


ALTERED: dict[str, tuple[Callable[[Columns], Any], str, str]] = {
    "a grade": (lambda c: c["strict"].__setitem__(1, "77"), "evaluation grades", "strict is 77, graded None"),
    "a completion and its grade": (right, "policy", "completion is #### "),
    "a question": (easy, "policy", "question is What is one and one?, specified "),
    "a question that is none": (
        lambda c: c["prompt_id"].__setitem__(1, 99),
        "policy",
        "prompt_id is 99, specified 0 … ",
    ),
    "a prompt": (lambda c: c["prompt"][1].append(5), "policy", "prompt is ["),
    "an end": (cut, "policy", "length is 3, by its tokens 8"),
    "a token that is none": (lambda c: c["token"][1].__setitem__(0, 99_999), "policy", "token[0] is 99999, specified"),
    "a token below 0": (lambda c: c["token"][1].__setitem__(0, -1), "policy", "token[0] is -1, specified"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_what_was_altered(name: str, submitted: Submission, tmp_path: Path) -> None:
    change, check, message = ALTERED[name]
    found = altered(submitted, tmp_path / "mine", change)
    assert [failed.name for failed in found.failures] == [check]
    assert re.match(r"evaluations, evaluation 2, mode stochastic, episode \d: ", found.failures[0].message)
    assert f": {message}" in found.failures[0].message
    assert found.failures[0].message.isprintable()


def test_tokens_that_the_policy_would_not_choose(greedy: Submission, tmp_path: Path) -> None:
    """And the text that they say."""
    from lagbench.tasks.gsm8k.task import GSM8kTask
    from lagbench.tasks.spec import load_task

    spec = greedy.runs()[0].run.spec
    task = load_task(spec.task, spec.task_options)
    assert isinstance(task, GSM8kTask)

    def change(columns: Columns) -> None:
        i = longest(columns)
        columns["token"][i][2] ^= 1
        columns["completion"][i] = task.pretrained().text(columns["token"][i])

    (failed,) = altered(greedy, tmp_path / "mine", change).failures
    assert failed.name == "policy"
    assert ": token[2] is " in failed.message
    assert "nats below the most probable" in failed.message


def test_where_the_model_cannot_be_had_it_is_rescored_only(
    submitted: Submission, places: dict[str, Any], tmp_path: Path
) -> None:
    Path(places["model"]).rename(tmp_path / "gone")
    try:
        found = verify(submitted, episodes=2)
    finally:
        (tmp_path / "gone").rename(places["model"])
    assert found.passed
    assert {check.name for check in found.checks if check.outcome == "skipped"} >= {"policy", "re-evaluation"}
    assert found.reevaluated == ()
