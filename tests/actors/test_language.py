"""Actors on questions: who completes what with which version, and what the rollout and the rows say of it."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lagbench.actors.base import Collection
from lagbench.actors.language import LanguageActors
from lagbench.policies import sampling
from lagbench.policies.base import Version
from lagbench.policies.causal_lm import CausalLMPolicy
from lagbench.policies.sampling import Completions, Request, complete
from lagbench.rollout import PADDING
from lagbench.spec import RunSpec, resolve
from tests.tasks.gsm8k.tiny import make_data, make_model

LONGEST = 12


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("language")
    return {"data": str(make_data(path / "data")), "model": str(make_model(path / "model"))}


def make_spec(places: dict[str, str], **options: Any) -> RunSpec:
    task = {**places, "prompt": "plain", "max_new_tokens": LONGEST, **options.pop("task_options", {})}
    given = {"task": "GSM8k-v0", "task_options": task, "eval_episodes": 6, "updates": 3, "lag": 4, "budget": 960}
    return resolve(**{**given, **options})


def moved(policy: CausalLMPolicy, number: int) -> Version:
    """A version of its own: the weights, shifted."""
    rng = torch.Generator().manual_seed(number)
    state = {k: x + 0.1 * number * torch.randn(x.shape, generator=rng) for k, x in policy.acting_state().items()}
    return Version(number, state)


def begun(places: dict[str, str]) -> tuple[RunSpec, LanguageActors, CausalLMPolicy, dict[int, Version]]:
    """Actors, and three versions for them."""
    spec = make_spec(places)
    actors = LanguageActors(spec)
    policy = actors.make_policy()
    return spec, actors, policy, {k: moved(policy, k) for k in (5, 6, 7)}


@pytest.fixture(scope="module")
def collected(places: dict[str, str]) -> tuple[RunSpec, LanguageActors, CausalLMPolicy, Collection]:
    """12 groups of 8, dealt to 8 slots that hold versions 5, 6, 7, 5, 6, 7, 5, 6."""
    spec, actors, policy, versions = begun(places)
    return spec, actors, policy, actors.collect([versions[5 + i % 3] for i in range(8)], 7)


@pytest.fixture(scope="module")
def in_flight(places: dict[str, str]) -> tuple[RunSpec, LanguageActors, CausalLMPolicy, Collection]:
    """The same groups and noise: slot 0 goes from version 5 to 6 at token 4, 2 on to 7 at 7, 1 keeps 5, the rest 7."""
    spec, actors, policy, versions = begun(places)
    steps = [[5] * 4 + [6] * 8, [5] * 12, [5] * 4 + [6] * 3 + [7] * 5, *[[7] * 12] * 5]
    return spec, actors, policy, actors.collect_by_step([[versions[k] for k in own] for own in steps], 7)


def column(collection: Collection, name: str) -> Any:
    return collection.transitions.columns[name]


def test_groups_are_dealt_in_turn_and_of_one_version(collected: Any) -> None:
    _, _, _, c = collected
    assert c.rollout.valid.shape[1] == 96
    assert c.rollout.group.tolist() == [g for g in range(12) for _ in range(8)]
    assert column(c, "actor").tolist() == [g % 8 for g in range(12) for _ in range(8)]
    held = [5 + (g % 8) % 3 for g in range(12) for _ in range(8)]
    assert c.rollout.behaviour_version[0].tolist() == held
    assert all(set(v) == {h} for v, h in zip(column(c, "behaviour_version"), held, strict=True))
    assert set(column(c, "learner_version")) == {7}
    assert column(c, "group").tolist() == [7 * 12 + g for g in range(12) for _ in range(8)]
    assert column(c, "episode_id").tolist() == [7 * 96 + i for i in range(96)]


@pytest.mark.parametrize("which", ["collected", "in_flight"])
def test_each_version_gave_the_log_probabilities_of_its_tokens(which: str, request: pytest.FixtureRequest) -> None:
    """After all tokens before, whoever chose them."""
    _, actors, policy, c = request.getfixturevalue(which)
    assert actors.diagnostics()["sampler_mismatch_max"] < 1e-4
    before = {k: x.clone() for k, x in policy.model.state_dict().items()}
    with torch.no_grad():
        for number in (5, 6, 7):
            policy.model.load_state_dict(moved_from(before, number))
            new = policy.evaluate(c.rollout)
            own = c.rollout.valid & (c.rollout.behaviour_version == number)
            torch.testing.assert_close(new.log_prob[own], c.rollout.behaviour_log_prob[own], rtol=1e-4, atol=1e-4)
            others = c.rollout.valid & ~own
            assert (new.log_prob - c.rollout.behaviour_log_prob)[others].abs().max() > 0.1
    policy.model.load_state_dict(before)


def test_versions_change_inside_completions(collected: Any, in_flight: Any) -> None:
    c = in_flight[3]
    held = {0: [5] * 4 + [6] * 8, 1: [5] * 12, 2: [5] * 4 + [6] * 3 + [7] * 5}
    lengths = set()
    for i in range(96):
        own = held.get(i // 8 % 8, [7] * 12)
        token = column(c, "token")[i].tolist()
        assert column(c, "behaviour_version")[i].tolist() == own[: len(token)]
        lengths.add(len(token))
    assert len(lengths) > 2
    assert max(lengths) == LONGEST
    # Up to the change slot 0 chooses what it does with version 5 alone, which is what it has in the other collection.
    plain = column(collected[3], "token")
    for i in (*range(8), *range(64, 72)):
        assert column(c, "token")[i].tolist()[:4] == plain[i].tolist()[:4]
    assert [t.tolist() for t in plain[:8]] != [t.tolist() for t in column(c, "token")[:8]]


def moved_from(state: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(number)
    return {k: x + 0.1 * number * torch.randn(x.shape, generator=rng) for k, x in state.items()}


@pytest.mark.parametrize("which", ["collected", "in_flight"])
def test_rows_are_the_rollouts_columns(which: str, request: pytest.FixtureRequest) -> None:
    spec, actors, _, c = request.getfixturevalue(which)
    r = c.rollout
    questions = load(spec).questions("train")
    for i in range(96):
        n = int(r.valid[:, i].sum())
        assert column(c, "token")[i].tolist() == r.action[:n, i].tolist()
        assert column(c, "behaviour_log_prob")[i].tolist() == r.behaviour_log_prob[:n, i].tolist()
        assert column(c, "behaviour_version")[i].tolist() == r.behaviour_version[:n, i].tolist()
        prompt = r.observation[:, i]
        assert column(c, "prompt")[i].tolist() == prompt[prompt != PADDING].tolist()
        asked = questions[column(c, "prompt_id")[i]]
        assert column(c, "target")[i] == asked.target
        assert actors._model.text(column(c, "token")[i].tolist()) == column(c, "completion")[i]
        assert bool(r.terminated[n - 1, i]) == bool(column(c, "terminated")[i])
        assert bool(r.truncated[n - 1, i]) == bool(column(c, "truncated")[i]) == (not r.terminated[n - 1, i])
        assert (n == LONGEST) or r.terminated[n - 1, i]
    assert (r.terminated | r.truncated).sum() == 96
    assert (r.behaviour_log_prob[~r.valid] == 0).all()
    assert r.longest == LONGEST
    e = c.episodes[95]
    assert (e.episode_id, e.length, e.phase) == (7 * 96 + 95, len(column(c, "token")[95]), 7)


def load(spec: RunSpec) -> Any:
    from lagbench.tasks.spec import load_task

    return load_task(spec.task, spec.task_options)


def test_a_phase_is_the_same_whatever_came_before(places: dict[str, str], collected: Any) -> None:
    spec, _, policy, c = collected
    actors = LanguageActors(spec)
    versions = {k: moved(policy, k) for k in (5, 6, 7)}
    actors.collect([versions[5]] * 8, 0)
    actors.play(versions[6], range(6))
    again = actors.collect([versions[5 + i % 3] for i in range(8)], 7)
    assert torch.equal(again.rollout.action, c.rollout.action)
    assert torch.equal(again.rollout.behaviour_log_prob, c.rollout.behaviour_log_prob)
    other = LanguageActors(make_spec(places, seed=1)).collect([versions[5 + i % 3] for i in range(8)], 7)
    assert other.rollout.action.shape != c.rollout.action.shape or not torch.equal(
        other.rollout.action, c.rollout.action
    )


def test_every_question_is_asked_once_before_any_twice(places: dict[str, str]) -> None:
    """12 questions, 4 a phase: three phases ask all of them, in another order each time."""
    actors = LanguageActors(make_spec(places, updates=1))
    asked = [actors._drawn(4 * phase, 4).tolist() for phase in range(9)]
    passes = [list(itertools.chain(*asked[k : k + 3])) for k in (0, 3, 6)]
    assert all(sorted(order) == list(range(12)) for order in passes)
    assert len({tuple(order) for order in passes}) == 3
    # Where a phase goes over the end of the set, so too.
    actors = LanguageActors(make_spec(places, updates=5, budget=1600))
    counts = Counter(itertools.chain(*(actors._drawn(20 * phase, 20).tolist() for phase in range(3))))
    assert set(counts.values()) == {5}


def fixed(texts: list[str], actors: LanguageActors) -> Any:
    """Instead of sampling: these completions, in turn."""
    encoded = [[*actors._model.tokens([t])[0], *actors._model.ends] for t in texts]

    def complete(_: CausalLMPolicy, request: Request) -> Completions:
        n = len(request.prompts) * request.copies
        own = [encoded[i % len(encoded)] for i in range(n)]
        longest = max(map(len, own))
        token = torch.tensor([t + [0] * (longest - len(t)) for t in own]).T
        valid = torch.tensor([[True] * len(t) + [False] * (longest - len(t)) for t in own]).T
        return Completions(token, torch.where(valid, -1.0, 0.0), valid)

    return complete


def test_rewards_and_what_is_measured(places: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Four groups of two: the questions' answers are 0 … 11."""
    spec = make_spec(places, updates=1, minibatch=8, actors=4, task_options={"group_size": 2})
    actors = LanguageActors(spec)
    monkeypatch.setattr(actors, "_drawn", lambda first, groups: np.array([3, 5, 3, 7]))
    texts = ["#### 3", "3", "#### 5", "#### 5", "no", "#### 4", "#### 8", "#### 7"]
    monkeypatch.setattr(sampling, "complete", fixed(texts, actors))
    version = actors.make_policy().version(0)
    c = actors.collect([version] * 4, 0)
    last = [n - 1 for n in c.rollout.valid.sum(0).tolist()]
    assert [c.rollout.reward[n, i].item() for i, n in enumerate(last)] == [1, 0, 1, 1, 0, 0, 0, 1]
    assert c.rollout.reward.sum() == 4
    assert column(c, "strict") == ["3", None, "5", "5", None, "4", "8", "7"]
    assert column(c, "flexible") == ["3", "3", "5", "5", None, "4", "8", "7"]
    measured = {k: x for k, x in actors.diagnostics().items() if not k.startswith("sampler_mismatch")}
    assert measured == {
        "reward_scale": 1.0,
        "accuracy": 0.5,
        "accuracy_flexible": 0.625,
        "response_length": np.mean([len(t) + 1 for t in texts]),
        "ended_fraction": 1.0,
        "groups_without_signal": 0.5,
    }


def test_evaluations_ask_the_same_questions(places: dict[str, str]) -> None:
    actors = LanguageActors(make_spec(places))
    policy = actors.make_policy()
    greedy, other = (actors.play(policy.version(0), seeds) for seeds in (range(6), range(90, 96)))
    assert [e.prompt_id for e in greedy] == list(range(6))
    assert [e.completion for e in greedy] == [e.completion for e in other]
    assert [e.seed for e in other] == list(range(90, 96))
    assert greedy[0].question == "Ann has 13 figs and eats 1. How many are left?"
    for e in greedy:
        assert e.length == len(e.token)
        assert e.terminated != e.truncated
        assert e.episode_return == float(e.strict == e.target)
    sampled, again, others = (
        [e.completion for e in actors.play(policy.version(0), seeds, stochastic=True)]
        for seeds in (range(6), range(6), range(90, 96))
    )
    assert sampled == again != others
    assert sampled != [e.completion for e in greedy]


def test_sampler_and_learner_are_compared_on_every_token(collected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by the version that chose it; what a sampler adds to its log-probabilities is found to the digit."""
    _, actors, policy, _ = collected
    versions = [moved(policy, 5 + i % 3) for i in range(8)]
    actors.collect(versions, 7)
    honest = actors.diagnostics()
    assert 0 < honest["sampler_mismatch_mean"] < honest["sampler_mismatch_max"] < 1e-4
    assert 0 <= honest["sampler_mismatch_kl"] < 1e-8

    def off(policy: CausalLMPolicy, request: Request) -> Completions:
        done = complete(policy, request)
        return done._replace(log_prob=done.log_prob - 0.1)

    monkeypatch.setattr(sampling, "complete", off)
    actors.collect(versions, 7)
    found = actors.diagnostics()
    assert found["sampler_mismatch_mean"] == pytest.approx(0.1, abs=1e-4)
    assert found["sampler_mismatch_max"] == pytest.approx(0.1, abs=1e-4)
    assert found["sampler_mismatch_kl"] == pytest.approx(np.exp(0.1) - 1 - 0.1, rel=1e-2)


MINI = {"max_new_tokens": 96, "group_size": 4}


def on_mini(budget: int, **options: Any) -> LanguageActors:
    """Four groups of four a phase."""
    return LanguageActors(
        resolve(task="GSM8kMini-v0", updates=1, minibatch=16, lag=2, budget=budget, task_options={**MINI, **options})
    )


def test_places_of_uniform_groups_are_filled_again() -> None:
    plain, again = on_mini(320), on_mini(320, resample_uniform_groups=True)
    versions = [moved(plain.make_policy(), k) for k in (0, 0, 0, 0)]
    # The second phase goes on after all that the first asked.
    first, second = again.collect(versions, 0), again.collect(versions, 1)
    assert first.spent > 16
    for c in (first, second):
        right = c.rollout.reward.sum(0).view(4, 4).sum(1)
        assert all(0 < r < 4 for r in right.tolist())
        assert c.rollout.group.tolist() == [g for g in range(4) for _ in range(4)]
        assert c.spent == len(c.episodes) == len(column(c, "token"))
        # Actors fill their own places: where one has two rows of a group more, it had a uniform one.
        assert set(column(c, "actor")) == {0, 1, 2, 3}
    assert column(second, "episode_id").tolist() == [first.spent + i for i in range(second.spent)]
    assert column(second, "group")[0] == first.spent // 4
    asked = [*column(first, "prompt_id")[::4], *column(second, "prompt_id")[::4]]
    assert len(set(asked)) == len(asked)
    # The first round is what there is without the option.
    off = plain.collect(versions, 0)
    assert off.spent == 16
    assert column(first, "completion")[:16] == column(off, "completion")
    assert again.state() == {"completed": (first.spent + second.spent) // 4}


@pytest.mark.parametrize(("budget", "spent"), [(16, 16), (40, 32), (10_000, 160)])
def test_rounds_end_with_the_budget_and_after_ten(places: dict[str, str], budget: int, spent: int) -> None:
    """A policy that is never right: all four places are filled again and again, and keep the last."""
    spec = make_spec(
        places, updates=1, minibatch=16, budget=budget, task_options={"group_size": 4, "resample_uniform_groups": True}
    )
    actors = LanguageActors(spec)
    c = actors.collect([actors.make_policy().version(0)] * 4, 0)
    assert c.spent == spent
    assert not c.rollout.reward.any()
    kept = [c.rollout.action[: int(n), i].tolist() for i, n in enumerate(c.rollout.length.tolist())]
    assert kept == [t.tolist() for t in column(c, "token")[-16:]]
