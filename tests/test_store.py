"""Rollouts of earlier phases: what is kept of them, how the learner sees them, and that a resume has them."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor

import lagbench
from lagbench import Algorithm, Metrics, Phase, Policy, Rollout, runner
from lagbench.check import check
from lagbench.errors import AlgorithmError
from lagbench.learner import Learner
from lagbench.rollout import FIELDS
from lagbench.spec import resolve
from lagbench.synthetic import ControlWorld, LanguageWorld, World
from lagbench.training import train
from tests.ends import cut_off

EXAMPLE = f"{Path(__file__).parents[1] / 'examples/replay.py'}:Replay"
FIRST = 8
SMALL: dict[str, Any] = {"actors": 4, "phase_steps": 16, "minibatch": 32, "budget": 320, "eval_episodes": 1}


class Keeping(Algorithm):
    """Keeps two phases; what ``stored`` holds at each ``prepare`` is noted."""

    def __init__(self, config: Algorithm.Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.seen: list[dict[str, Any]] = []

    def prepare(self, rollout: Rollout) -> Rollout:
        self.store(rollout.replace(extra={"mine": rollout.reward * 2}), phases=2)
        for old in self.stored:
            self.seen.append({name: getattr(old, name).clone() for name in ("reward", "proximal_log_prob", "log_prob")})
        return self.estimate(rollout.join(*self.stored))

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        new = self.policy.evaluate(batch)
        ratio = torch.exp((new.log_prob - batch.behaviour_log_prob).clamp(max=1))
        return self.auxiliary_loss(new, batch) - batch.objective(ratio * batch.advantage), {}


def learner_of(cls: type[Algorithm] = Keeping, world: World | None = None, cap: int = 4, **config: Any) -> Learner:
    world = world or ControlWorld()
    values = dataclasses.asdict(cls.Config(**cls.preset(world.domain.name) | config))
    exact = world.domain.exact_log_prob
    return Learner(cls, values, world.policy(), world.protocol(cap), 0, exact_log_prob=exact)


def phase(learner: Learner, collected: Rollout, version: int) -> Phase:
    """One phase, to its end; the phase as it was left."""
    rollout, _ = learner.begin(collected, version, 0.0)
    work, diverged = learner.update(rollout, version)
    assert diverged is None
    learner.end_phase(rollout, version, {})
    return work


@pytest.mark.parametrize("world", [ControlWorld(), LanguageWorld()], ids=["control", "language"])
def test_the_newest_phases_are_there_from_the_next_phase_on(world: World) -> None:
    learner, collected = learner_of(world=world), {}
    for version in range(FIRST, FIRST + 4):
        collected[version] = world.collect(learner.policy, version)
        work = phase(learner, collected[version], version)
        stored = learner.algorithm.stored
        expected = [n for n in (version - 2, version - 1) if n >= FIRST]
        assert len(stored) == len(expected)
        for old, n in zip(stored, expected, strict=True):
            for name in ("observation", "action", "reward", "valid", "behaviour_version", "behaviour_log_prob"):
                assert torch.equal(getattr(old, name), getattr(collected[n], name))
            assert torch.equal(old.extra["mine"], 2 * collected[n].reward)
            # Of what the learner said of it then, nothing.
            assert not old.has("advantage")
        n = collected[version].valid.shape[1]
        assert work.rollout.valid.shape[1] == n * (1 + len(expected))


def test_what_the_learner_says_of_it_is_of_the_phase_now() -> None:
    """π_T at the start of the phase's updates; the rest anew where each epoch is prepared."""
    world, learner = ControlWorld(), learner_of(cap=16, prepare_every="epoch")
    first = world.collect(learner.policy, FIRST)
    phase(learner, first, FIRST)
    with torch.no_grad():
        proximal = learner.policy.evaluate(first).log_prob
    phase(learner, world.collect(learner.policy, FIRST + 1), FIRST + 1)
    assert isinstance(learner.algorithm, Keeping)
    one, two = learner.algorithm.seen
    assert torch.equal(one["proximal_log_prob"], proximal)
    assert torch.equal(one["log_prob"], proximal)
    assert torch.equal(two["proximal_log_prob"], proximal)
    assert not torch.allclose(two["log_prob"], proximal)


def test_what_is_kept_is_a_copy_and_the_last_of_a_phase_counts() -> None:
    world, learner = ControlWorld(), learner_of()
    rollout, _ = learner.begin(world.collect(learner.policy, FIRST), FIRST, 0.0)
    learner.algorithm.store(rollout, phases=4)
    learner.algorithm.store(rollout.replace(reward=rollout.reward + 1), phases=4)
    reward = rollout.reward.clone()
    rollout.reward.zero_()
    assert not learner.algorithm.stored
    learner.end_phase(rollout, FIRST, {})
    learner.begin(world.collect(learner.policy, FIRST + 1), FIRST + 1, 0.0)
    (old,) = learner.algorithm.stored
    assert torch.equal(old.reward, reward + 1)
    # No phase is kept, not even the earlier one.
    learner.algorithm.store(rollout, phases=0)
    learner.end_phase(rollout, FIRST + 1, {})
    learner.begin(rollout, FIRST + 2, 0.0)
    assert learner.algorithm.stored == ()


@pytest.mark.parametrize(
    ("store", "says"),
    [
        (lambda a, r: a.store([r], phases=2), r"takes a rollout, not \["),
        (
            lambda a, r: a.store(r.take(torch.tensor([0])), phases=2),
            "takes the rollout of a whole phase, .* not a part of one",
        ),
        (lambda a, r: a.store(r.join(r), phases=2), "takes the rollout of one phase, and this one joins several"),
        (lambda a, r: a.store(r, phases=-1), "keeps a whole number of phases, 0 or more, not -1"),
        (lambda a, r: a.store(r, phases=2.0), "keeps .*, not 2.0"),
    ],
)
def test_what_cannot_be_kept(store: Any, says: str) -> None:
    learner = learner_of()
    rollout, _ = learner.begin(ControlWorld().collect(learner.policy, FIRST), FIRST, 0.0)
    with pytest.raises(AlgorithmError, match=f"^self.store {says}"):
        store(learner.algorithm, rollout)


def test_diagnostics_are_those_of_what_was_trained_on() -> None:
    """Without lag: a phase's own rows are 0 versions old, those of the last one 1, of the one before it 2."""
    spec = resolve(algo=EXAMPLE, **SMALL, config={"kept": 2})
    rows = []
    for result in train(spec, threads=1):
        rows.append(result.record.diagnostics)
        assert result.rollout.valid.shape == (16, 4)
    assert [row["backward_lag_max"] for row in rows] == [0, 1, 2, 2, 2]
    assert rows[0]["backward_lag_mean"] == 0 < rows[1]["backward_lag_mean"] < 1 < rows[4]["backward_lag_mean"] + 0.3
    assert all(row["tv_backward"] > 0 and row["ess"] < 1 for row in rows[1:])


# ------------------------------------------------------------------------------------------------- ways that pass


class Circular(Keeping):
    """IMPACT's buffer: whole sequences of the newest phases, on V-trace anew at each update."""

    minibatch: ClassVar[Literal["steps", "sequences"]] = "sequences"

    def __init__(self, config: Algorithm.Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.register_buffer("drawn", torch.zeros((), dtype=torch.int64))

    def prepare(self, rollout: Rollout) -> Rollout:
        self.store(rollout, phases=3)
        return self.estimate(rollout.join(*self.stored))


class Drawn(Keeping):
    """ACER's replay: beside the phase some of a larger buffer, drawn at random, and their sequences in part."""

    def prepare(self, rollout: Rollout) -> Rollout:
        self.store(rollout, phases=8)
        chosen = [self.stored[i] for i in torch.randperm(len(self.stored))[:2].tolist()]
        parts = [old.take(torch.randperm(old.valid.shape[1])[:8]) for old in chosen]
        rollout = rollout.join(*parts)
        return self.estimate(rollout, rollout.log_prob - rollout.behaviour_log_prob)


@pytest.mark.parametrize("algorithm", [Keeping, Circular, Drawn, EXAMPLE], ids=str)
def test_replay_passes_in_both_domains(algorithm: str | type[Algorithm]) -> None:
    report = check(algorithm)
    assert report.passed, [c for c in report.checks if c.outcome != "ok"]


class Unmasked(Keeping):
    """Only stored rows are reduced over what is not valid, so that the first phase shows nothing."""

    def prepare(self, rollout: Rollout) -> Rollout:
        self.store(rollout, phases=1)
        prepared = self.estimate(rollout)
        return prepared.replace(advantage=prepared.advantage + sum(r.reward.mean() for r in self.stored))


class Overflowing(Keeping):
    """Only of stored rows is the ratio not clamped."""

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        old = [self.policy.evaluate(r).log_prob - r.behaviour_log_prob for r in self.stored]
        return loss + sum(r.mean((5 * x).exp()) for r, x in zip(self.stored, old, strict=True)), metrics


@pytest.mark.parametrize(("algorithm", "name"), [(Unmasked, "invalid-rows"), (Overflowing, "lag")])
def test_stored_rows_are_checked_too(algorithm: type[Algorithm], name: str) -> None:
    failed = {(c.name, c.domain) for c in check(algorithm).checks if c.outcome == "failed"}
    assert (name, "language") in failed
    assert {found for found, _ in failed} == {name}


# --------------------------------------------------------------------------------------- ways that cannot be resumed


class List(Keeping):
    domains = ("control",)

    def __init__(self, config: Algorithm.Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.kept: Any = []

    def prepare(self, rollout: Rollout) -> Rollout:
        older = self.older()
        self.keep(rollout)
        return self.estimate(rollout.join(*older))

    def older(self) -> list[Rollout]:
        return list(self.kept)

    def keep(self, rollout: Rollout) -> None:
        self.kept.append(rollout)


class Deque(List):
    def __init__(self, config: Algorithm.Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.kept = deque(maxlen=4)

    def keep(self, rollout: Rollout) -> None:
        self.kept.append({"rollout": rollout, "age": 0})

    def older(self) -> list[Rollout]:
        return [one["rollout"] for one in self.kept]


class Last(List):
    def keep(self, rollout: Rollout) -> None:
        self.kept = rollout

    def older(self) -> list[Rollout]:
        return [self.kept] if self.kept else []


class Buffers(Keeping):
    """One for each field, made when the first phase says how large it is."""

    domains = ("control",)

    def prepare(self, rollout: Rollout) -> Rollout:
        self.register_buffer("old_reward", rollout.reward)
        return self.estimate(rollout)


class ByHand(Keeping):
    """Fields are concatenated, and what the harness sets is not among them."""

    def prepare(self, rollout: Rollout) -> Rollout:
        self.store(rollout, phases=1)
        parts = [rollout, *self.stored]
        names = [name for name in FIELDS if rollout.has(name) and name != "proximal_log_prob"]
        found: dict[str, Any] = {
            name: torch.cat([getattr(r, name) for r in parts], dim=-1 if name == "group" else 1) for name in names
        }
        return self.estimate(Rollout(**found, longest=rollout.longest, group_size=rollout.group_size))


class InPlace(Keeping):
    """Fields are concatenated into the rollout that is there."""

    domains = ("control",)

    def prepare(self, rollout: Rollout) -> Rollout:
        self.store(rollout, phases=1)
        return self.estimate(rollout.replace(reward=torch.cat([rollout.reward, *(r.reward for r in self.stored)], 1)))


class Tensors(Keeping):
    """No rollout is left, but what was in some."""

    domains = ("control",)

    def __init__(self, config: Algorithm.Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.rewards: list[Tensor] = []

    def prepare(self, rollout: Rollout) -> Rollout:
        self.rewards.append(rollout.mean(rollout.reward))
        prepared = self.estimate(rollout)
        return prepared.replace(advantage=prepared.advantage - torch.stack(self.rewards).mean())


STORE = r"self\.store\(rollout, phases=…\)"


@pytest.mark.parametrize(
    ("algorithm", "says"),
    [
        (List, rf"^self.kept still holds a rollout at the end of its phase, .*; keep rollouts .* {STORE}"),
        (Deque, rf"^self.kept still holds a rollout .* {STORE}"),
        (Last, rf"^self.kept still holds a rollout .* {STORE}"),
        (Buffers, rf"^self.old_reward was added, removed or reshaped after the algorithm was created, .* {STORE}"),
        (
            ByHand,
            r"returned a rollout without proximal_log_prob, .*rollout.join\(\*self.stored\), after self.store kept",
        ),
        (InPlace, r"^rollout.reward must have shape .* rollout.join\(\*self.stored\), after self.store has kept them"),
        (Tensors, rf"^a resumed run differs .* {STORE}"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_what_no_resume_could_give_back_is_refused(algorithm: type[Algorithm], says: str) -> None:
    failed = [c.message for c in check(algorithm).checks if c.outcome == "failed"]
    assert failed
    for message in failed:
        with pytest.raises(AssertionError, match=says):
            raise AssertionError(message)


def test_a_rollout_of_this_phase_may_be_held_until_it_ends() -> None:
    class Tidy(Keeping):
        domains = ("control",)
        mine: Rollout | None = None

        def prepare(self, rollout: Rollout) -> Rollout:
            self.mine = rollout
            return super().prepare(rollout)

        def end_phase(self, metrics: Mapping[str, float]) -> None:
            self.mine = None

    assert check(Tidy).passed


# --------------------------------------------------------------------------------------------------------- resumed


def test_a_run_that_was_cut_off_goes_on_with_what_was_stored(tmp_path: Path) -> None:
    """After its third phase; three are stored then."""
    alone = lagbench.run(algo=EXAMPLE, lag=2, **SMALL, out=tmp_path / "alone")
    cut_off(alone.spec, tmp_path / "run")
    kept = sorted(file.name for file in (tmp_path / "run/checkpoint").glob("stored-*"))
    assert kept == [f"stored-{n}.pt" for n in range(3)]
    assert runner.resume(tmp_path / "run").content_hash() == alone.content_hash()
    assert (tmp_path / "run/policy.safetensors").read_bytes() == (tmp_path / "alone/policy.safetensors").read_bytes()
    lags = alone.phases.to_table()["backward_lag_max"].to_pylist()
    assert lags == sorted(lags)
    assert lags[-1] > 2
