"""Checks: every baseline passes, and each broken algorithm fails the check that is meant for it and no other."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from lagbench import Algorithm, LagbenchError, Metrics, Phase, Policy, Rollout, UsageError, registry
from lagbench.check import CheckReport, check
from lagbench.cli.check import command
from lagbench.diagnostics import NAMES
from lagbench.synthetic import LAG, ControlWorld, LanguageWorld, World, with_junk

CONTROL = ("control",)
BOTH = (*CONTROL, "language")


class Good(Algorithm):
    """A soft clip; what the broken ones derive from."""

    class Config(Algorithm.Config):
        width: float = 0.2

    config: Config

    def ratio(self, batch: Rollout) -> tuple[Tensor, Tensor]:
        """The surrogate of each sample and the auxiliary losses."""
        new = self.policy.evaluate(batch)
        distance = (new.log_prob - batch.behaviour_log_prob) / self.config.width
        return torch.tanh(distance) * self.config.width * batch.advantage, self.auxiliary_loss(new, batch)

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        surrogate, auxiliary = self.ratio(batch)
        return auxiliary - batch.objective(surrogate), {"surrogate": batch.mean(surrogate.detach())}


class OnControl(Good):
    """For what is wrong in any domain alike."""

    domains = CONTROL


class Sequences(Good):
    minibatch: ClassVar[Literal["steps", "sequences"]] = "sequences"


def failures(report: CheckReport) -> set[tuple[str, str | None]]:
    return {(c.name, c.domain) for c in report.checks if c.outcome == "failed"}


def message(report: CheckReport) -> str:
    """What the first failure says."""
    return next(c.message for c in report.checks if c.outcome == "failed")


@pytest.mark.parametrize("name", sorted(registry.algorithms()))
def test_every_baseline_passes(name: str) -> None:
    report = check(name)
    assert report.passed, message(report)
    assert {c.domain for c in report.checks} == {None, *registry.load(registry.algorithms()[name]).domains}


class Grouped(Good):
    """Each part of the policy, and a scale of its own, at a rate of its own, in another optimizer than the default."""

    def __init__(self, config: Any, policy: Policy) -> None:
        super().__init__(config, policy)
        self.scale = nn.Linear(1, 1)

    def make_optimizer(self) -> torch.optim.Optimizer:
        parts = [module for _, module in self.policy.named_children() if [*module.parameters()]]
        groups = [{"params": [*part.parameters()], "lr": 1e-3 / (i + 1)} for i, part in enumerate([*parts, self.scale])]
        groups += [{"params": [p], "lr": 1e-2} for name, p in self.policy.named_parameters() if name == "log_std"]
        return torch.optim.AdamW(groups, weight_decay=0.01)

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        return loss * self.scale(torch.ones(1)).exp().squeeze(), metrics


class Averaged(Good):
    """Held to an average of the policies so far, with the default optimizer."""

    def __init__(self, config: Any, policy: Policy) -> None:
        super().__init__(config, policy)
        self.anchor = copy.deepcopy(policy).requires_grad_(False)

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        distance = self.policy.evaluate(batch).log_prob - self.anchor.evaluate(batch).log_prob
        return loss + 0.1 * batch.objective(distance.square()), metrics

    @torch.no_grad()
    def end_phase(self, metrics: Mapping[str, float]) -> None:
        for old, new in zip(self.anchor.parameters(), self.policy.parameters(), strict=True):
            old.lerp_(new, 0.5)
        for kept, now in zip(self.anchor.buffers(), self.policy.buffers(), strict=True):
            kept.copy_(now)


class WholeRatio(Good):
    """The ratio of each completion as a whole, its length and its group's size: one class for both domains."""

    def ratio(self, batch: Rollout) -> tuple[Tensor, Tensor]:
        new = self.policy.evaluate(batch)
        distance = batch.sequences(new.log_prob - batch.behaviour_log_prob) / batch.length
        scale = batch.group_size / (batch.group_size - 1) if batch.group_size else 1.0
        return torch.tanh(distance) * scale * batch.advantage, self.auxiliary_loss(new, batch)


class WholeRatioInOrder(WholeRatio):
    minibatch: ClassVar[Literal["steps", "sequences"]] = "sequences"


class FreshOnly(Good):
    """Leaves a phase alone in which anything is older than its newest."""

    def update(self, phase: Phase) -> None:
        version = phase.rollout.behaviour_version[phase.rollout.valid]
        if version.min() == version.max():
            super().update(phase)


@pytest.mark.parametrize("algorithm", [WholeRatio, WholeRatioInOrder, FreshOnly])
def test_ways_to_learn_that_pass(algorithm: type[Algorithm]) -> None:
    report = check(algorithm)
    assert report.passed, message(report)


@pytest.mark.parametrize("algorithm", [Grouped, Averaged])
def test_ways_to_hold_the_policy_that_pass(algorithm: type[Algorithm]) -> None:
    report = check(algorithm)
    assert report.passed, message(report)


def test_a_good_one_passes() -> None:
    """It hears all of the harness's diagnostics but the drift of the normalizer, which has not moved yet."""
    heard: list[set[str]] = []

    class Listening(Sequences):
        def end_phase(self, metrics: Mapping[str, float]) -> None:
            heard.append(set(metrics))

    report = check(Listening)
    assert report.passed, message(report)
    assert report.algorithm == "Listening"
    assert all(set(NAMES) - {"normalizer_drift"} <= names for names in heard)


# What is broken in the class itself.


class NoLoss(Algorithm):
    pass


class NoSuchMinibatch(Good):
    minibatch = "rows"  # type: ignore[assignment]


class NoSuchDomain(Good):
    domains = ("langauge",)


class ListField(Good):
    class Config(Good.Config):
        sizes: list[int] = dataclasses.field(default_factory=list)


class UntypedField(Good):
    class Config(Good.Config):
        clip = 0.2


class ForeignConfig(Good):
    @dataclasses.dataclass(frozen=True)
    class Config:
        learning_rate: float = 1e-3


class PresetOfNoDomain(Good):
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"langauge": {"width": 0.1}}


class PresetOfNoField(Good):
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"language": {"widht": 0.1}}


class PresetOfOtherType(Good):
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"control": {"width": "wide"}}


@pytest.mark.parametrize(
    ("cls", "name", "says"),
    [
        (nn.Linear, "class", "is not a subclass of lagbench.Algorithm"),
        (NoLoss, "class", "has no `loss`; write loss"),
        (NoSuchMinibatch, "class", "minibatch is 'rows'; use"),
        (NoSuchDomain, "class", "domains is \\('langauge',\\); use"),
        (ListField, "config", "Config.sizes has type .*; use bool, int, float, str, a Literal"),
        (ForeignConfig, "config", "write class Config\\(Algorithm.Config\\)"),
    ],
)
def test_broken_before_it_runs(cls: Any, name: str, says: str) -> None:
    report = check(cls)
    assert failures(report) == {(name, None)}
    assert not report.passed
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(message(report))
    # What builds on it is not tried.
    assert {c.outcome for c in report.checks if c.domain} == {"skipped"}


@pytest.mark.parametrize(
    ("cls", "name", "says", "stopped"),
    [
        (UntypedField, "config", "Config.clip has no type .*; write clip: float", set()),
        (PresetOfNoDomain, "presets", "unknown domain 'langauge'; did you mean 'language'", set()),
        (PresetOfNoField, "presets", "unknown hyperparameter 'widht'; did you mean 'width'", {"language"}),
        (PresetOfOtherType, "presets", "width must be a number, not 'wide'", {"control"}),
    ],
)
def test_broken_in_part(cls: Any, name: str, says: str, stopped: set[str]) -> None:
    report = check(cls)
    assert failures(report) == {(name, None)}
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(message(report))
    assert {c.domain for c in report.checks if c.outcome == "skipped"} == stopped
    assert {c.domain for c in report.checks if c.outcome == "ok"} == {None, *BOTH} - stopped


# What is broken in the loss.


class NoTuple(Good):
    def loss(self, batch: Rollout) -> Any:
        return super().loss(batch)[0]


class NotReduced(Good):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        return -self.ratio(batch)[0], {}


class NotFinite(Good):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        return loss / (batch.advantage.sum() * 0), metrics


class NoSuchField(Good):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        return batch.advantages.mean(), {}


class Detached(Good):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        return loss.detach(), metrics


class MeanOnly(Good):
    """log_std and the like get no gradient."""

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        surrogate, auxiliary = self.ratio(batch)
        return auxiliary - batch.objective(surrogate.detach()), {}


class RootOfZero(Good):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        return loss + batch.objective((self.ratio(batch)[0] * 0).sqrt()), metrics


class LiveMetric(OnControl):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, _ = super().loss(batch)
        return loss, {"mine": loss}


class NoReturn(OnControl):
    def step(self, loss: Tensor, metrics: Metrics) -> Metrics:  # type: ignore[return]
        super().step(loss, metrics)


class ReservedMetric(OnControl):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        return super().loss(batch)[0], {"kl": torch.tensor(0.0)}


class TakenMetric(OnControl):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        return super().loss(batch)[0], {"gradient_norm": torch.tensor(0.0)}


class FirstMetric(OnControl):
    logged = False

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        if self.logged:
            return loss, {}
        self.logged = True
        return loss, metrics


# What is broken in the updates.


class TwiceOver(OnControl):
    def update(self, phase: Phase) -> None:
        for batch in [*phase.batches(), *phase.batches()]:
            phase.record(self.step(*self.loss(batch)))


class NoUpdate(OnControl):
    def update(self, phase: Phase) -> None:
        phase.rollout  # noqa: B018


class SecondOptimizer(OnControl):
    def __init__(self, config: Good.Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.other = torch.optim.SGD(policy.parameters(), lr=1e-3)

    def step(self, loss: Tensor, metrics: Metrics) -> Metrics:
        metrics = super().step(loss, metrics)
        self.other.step()
        return metrics


class ByHand(OnControl):
    def end_phase(self, metrics: Mapping[str, float]) -> None:
        with torch.no_grad():
            for p in self.policy.parameters():
                p.mul_(0.999)


class NothingToLearn(OnControl):
    def make_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1e-3)


# What is broken more quietly.


class MeanOverAll(Good):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        new = self.policy.evaluate(batch)
        ratio = (new.log_prob - batch.behaviour_log_prob).clamp(-1, 1).exp()
        kl = (ratio - 1 - ratio.log()).mean()
        return kl + super().loss(batch)[0], {}


class MeanOverAllSequences(MeanOverAll):
    minibatch: ClassVar[Literal["steps", "sequences"]] = "sequences"


class SumOverAll(WholeRatioInOrder):
    def ratio(self, batch: Rollout) -> tuple[Tensor, Tensor]:
        new = self.policy.evaluate(batch)
        distance = (new.log_prob - batch.behaviour_log_prob).sum(0) / batch.length
        return torch.tanh(distance) * batch.advantage, self.auxiliary_loss(new, batch)


class RewardOverAll(Good):
    def prepare(self, rollout: Rollout) -> Rollout:
        prepared = self.estimate(rollout)
        return prepared.replace(advantage=prepared.advantage.clamp(max=rollout.reward.mean()))


class PythonState(OnControl):
    scale = 1.0

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        return loss * self.scale, metrics

    def end_phase(self, metrics: Mapping[str, float]) -> None:
        self.scale *= 0.5


class FreshOnlyWithPythonState(FreshOnly, PythonState):
    pass


class ListOfTensors(OnControl):
    def __init__(self, config: Good.Config, policy: Policy) -> None:
        super().__init__(config, policy)
        self.seen: list[Tensor] = []

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        self.seen.append(loss.detach())
        return loss, {**metrics, "average": torch.stack(self.seen).mean()}


class ObjectState(OnControl):
    def get_extra_state(self) -> Any:
        return self.config

    def set_extra_state(self, state: Any) -> None:
        pass


class Unseeded(OnControl):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        return loss * random.random(), metrics


class Exponential(Good):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        log_ratio = self.policy.evaluate(batch).log_prob - batch.behaviour_log_prob
        return super().loss(batch)[0] + batch.objective(torch.exp(5 * log_ratio)), {}


class MaskedAfter(Good):
    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        log_ratio = self.policy.evaluate(batch).log_prob - batch.behaviour_log_prob
        far = torch.where(log_ratio < 5, torch.exp(5 * log_ratio), 0.0)
        return super().loss(batch)[0] + batch.objective(far), {}


IN_NOTHINGS_WAY = [LiveMetric, NoReturn, ReservedMetric, TakenMetric, FirstMetric, SecondOptimizer]
"""With these every other check is made."""


@pytest.mark.parametrize(
    ("cls", "name", "domains", "says"),
    [
        (NoTuple, "loss", BOTH, r"must return \(scalar, metrics\)"),
        (NotReduced, "loss", BOTH, "reduce it with batch.objective"),
        (NotFinite, "loss", BOTH, "the loss is .* on ordinary data"),
        (NoSuchField, "loss", BOTH, r"no field 'advantages' \(.*test_check.py, line \d+\)"),
        (Detached, "gradient", BOTH, "the loss has no gradient"),
        (MeanOnly, "gradient", BOTH, "no gradient"),
        (RootOfZero, "gradient", BOTH, "is not finite, though the loss is"),
        (LiveMetric, "metrics", CONTROL, "'mine' must be a number or a detached scalar"),
        (NoReturn, "metrics", CONTROL, "metrics must be a dictionary, not None; an algorithm's own `step`"),
        (ReservedMetric, "metrics", CONTROL, "'kl' is reserved by the harness"),
        (TakenMetric, "metrics", CONTROL, "'gradient_norm' is reserved by the harness"),
        (FirstMetric, "metrics", CONTROL, "'surrogate' is not logged at every update"),
        (TwiceOver, "updates", CONTROL, "allows 1 optimizer updates per phase, and one more was attempted"),
        (
            NoUpdate,
            "updates",
            CONTROL,
            "no update was made though 1 were allowed, on data of the learner's own version too",
        ),
        (SecondOptimizer, "updates", CONTROL, "weights change outside self.optimizer.step"),
        (ByHand, "updates", CONTROL, "weights change outside self.optimizer.step"),
        (NothingToLearn, "updates", CONTROL, "updates do not change the policy"),
        (MeanOverAll, "invalid-rows", ["language"], "the contents of invalid rows"),
        (MeanOverAllSequences, "invalid-rows", BOTH, "the contents of invalid rows"),
        (SumOverAll, "invalid-rows", BOTH, "the contents of invalid rows"),
        (RewardOverAll, "invalid-rows", BOTH, "the contents of invalid rows"),
        (PythonState, "state", CONTROL, "differs from one that was not interrupted"),
        (FreshOnlyWithPythonState, "state", CONTROL, "differs from one that was not interrupted"),
        (ListOfTensors, "state", CONTROL, "in the metric 'average'; keep state in a parameter, a buffer"),
        (ObjectState, "state", CONTROL, "more than tensors and numbers"),
        (Unseeded, "seed", CONTROL, "two runs of one seed differ .* draw random numbers only with torch"),
        (Exponential, "lag", BOTH, "the loss is not finite at update 0 where"),
        (MaskedAfter, "lag", BOTH, "the gradient is not finite at update 0 where"),
    ],
)
def test_broken_algorithms(cls: type[Algorithm], name: str, domains: list[str], says: str) -> None:
    report = check(cls)
    assert failures(report) == {(name, d) for d in domains}, report
    if cls in IN_NOTHINGS_WAY:
        assert {c.outcome for c in report.checks} == {"ok", "failed"}
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(message(report))


def test_numbers_may_be_logged() -> None:
    class Logging(Good):
        def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
            return super().loss(batch)[0], {"mine": 1.0, "width": self.config.width}

    assert check(Logging).passed


class NoOptimizer(Good):
    def make_optimizer(self) -> torch.optim.Optimizer:  # type: ignore[return]
        torch.optim.SGD(self.policy.parameters(), lr=1e-3)


class NoRate(Good):
    def learning_rate(self) -> float:  # type: ignore[return]
        super().learning_rate()


@pytest.mark.parametrize(
    ("cls", "says"),
    [
        (NoOptimizer, "`make_optimizer` must return a torch.optim.Optimizer, not None"),
        (NoRate, "`learning_rate` must return a number, not None"),
    ],
)
def test_a_method_that_returns_nothing(cls: type[Algorithm], says: str) -> None:
    report = check(cls)
    assert failures(report) == {("loss", d) for d in BOTH}
    assert message(report) == says


def test_a_check_that_cannot_be_made_is_no_success() -> None:
    report = check(Unseeded)
    skipped = {(c.name, c.domain) for c in report.checks if c.outcome == "skipped"}
    assert skipped == {(name, "control") for name in ("invalid-rows", "state", "discrete")}
    assert not dataclasses.replace(report, checks=tuple(c for c in report.checks if c.outcome != "failed")).passed


def test_hyperparameters() -> None:
    """They reach the algorithm, over its presets, and what the caller got wrong is not the algorithm's fault."""

    class Preset(Detached):
        presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"language": {"width": 0.5}}

        def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
            assert self.config.width == 0.5
            return super().loss(batch)

    assert failures(check(Preset)) == {("loss", "control"), ("gradient", "language")}
    assert failures(check(Preset, config={"width": "0.5"})) == {("gradient", d) for d in BOTH}
    assert failures(check(Preset, config={"width": 0.6})) == {("loss", d) for d in BOTH}
    with pytest.raises(UsageError, match="unknown hyperparameter 'widht'; did you mean 'width'"):
        check(Good, config={"widht": 0.5})
    with pytest.raises(UsageError, match="unknown algorithm 'vaca'; did you mean 'vaco'"):
        check("vaca")


SOURCE = """
from lagbench import Algorithm


class Mine(Algorithm):
    def loss(self, batch):
        new = self.policy.evaluate(batch)
        return {}self.auxiliary_loss(new, batch) - batch.objective(new.log_prob * batch.advantage), {{}}
"""


def test_command(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format(""))
    result = CliRunner().invoke(command, [f"{file}:Mine"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["ok", "class"]
    assert ["ok", "language", "invalid-rows"] in [line.split() for line in lines]
    assert lines[-1].endswith(f"{len(lines) - 1} of {len(lines) - 1} checks passed")


def test_command_on_a_broken_one(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format("missing + "))
    result = CliRunner().invoke(command, [f"{file}:Mine", "-q"])
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    where = f"NameError: name 'missing' is not defined ({file}, line 8)"
    assert lines == [f"FAIL  {domain:<8}  loss: {where}" for domain in BOTH]


def test_command_as_json(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(SOURCE.format("missing + "))
    result = CliRunner().invoke(command, [f"{file}:Mine", "--json", "--set", "entropy_coef=0.1"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["algorithm"] == f"{file}:Mine"
    assert report["passed"] is False
    assert {"name": "config", "domain": None, "outcome": "ok", "message": ""} in report["checks"]
    assert [(c["name"], c["domain"]) for c in report["checks"] if c["message"]] == [("loss", d) for d in BOTH]


@pytest.mark.parametrize("arguments", [["vaca"], ["vaco", "--set", "detla=1"], ["no.py:Mine"]])
def test_command_used_wrongly(arguments: list[str]) -> None:
    error = CliRunner().invoke(command, arguments).exception
    assert isinstance(error, LagbenchError)
    assert error.exit_code == 2


# The rollouts that all this rests on.


@pytest.mark.parametrize("world", [ControlWorld(), LanguageWorld()])
def test_worlds_are_seeded(world: World) -> None:
    one, two = (world.collect(world.policy(), 8) for _ in range(2))
    other = world.collect(world.policy(), 9)
    assert torch.equal(one.behaviour_log_prob, two.behaviour_log_prob)
    assert not torch.equal(one.behaviour_log_prob, other.behaviour_log_prob)


@pytest.mark.parametrize("world", [ControlWorld(), LanguageWorld()])
def test_worlds_have_stale_rows_and_rows_of_the_learner_s_own(world: World) -> None:
    policy = world.policy()
    rollout = world.collect(policy, 8)
    lag = 8 - rollout.behaviour_version
    assert 0 <= lag.min() < lag.max() <= LAG
    with torch.no_grad():
        difference = (policy.evaluate(rollout).log_prob - rollout.behaviour_log_prob).abs()
    assert float(difference[rollout.valid & (lag == 0)].max()) < 1e-5
    assert float(difference[rollout.valid & (lag > 0)].mean()) > 0.05


def test_control_has_every_kind_of_row() -> None:
    world = ControlWorld()
    rollout = world.collect(world.policy(), 8)
    ended = rollout.terminated | rollout.truncated
    assert bool((rollout.terminated & ~rollout.truncated).any())
    assert bool((rollout.truncated & ~rollout.terminated).any())
    assert bool((rollout.truncated & rollout.terminated).any())
    assert bool(ended[-1].any())
    assert not bool(rollout.valid[0].all())
    assert torch.equal(rollout.valid[1:], ~ended[:-1])
    assert not bool((ended & ~rollout.valid).any())


def test_language_has_every_kind_of_completion() -> None:
    world = LanguageWorld()
    rollout = world.collect(world.policy(), 8)
    assert len(set((rollout.observation == -1).sum(0).tolist())) > 1
    assert bool(rollout.terminated.any())
    assert bool(rollout.truncated.any())
    # One end each, at the last valid token, where the reward is.
    last = rollout.valid.sum(0) - 1
    ended = rollout.terminated | rollout.truncated
    assert torch.equal(ended.sum(0), torch.ones(32, dtype=torch.int64))
    assert bool(ended[last, torch.arange(32)].all())
    assert torch.equal(rollout.reward[last, torch.arange(32)], rollout.reward.sum(0))
    # Groups of 8 by one version each, not all alike in outcome.
    assert torch.equal(rollout.group, torch.arange(4).repeat_interleave(8))
    assert all(len(v.unique()) == 1 for v in rollout.behaviour_version.split(8, dim=1))
    assert any(0 < r.sum() < 8 for r in rollout.reward.split(8, dim=1))


@pytest.mark.parametrize("world", [ControlWorld(), LanguageWorld()])
def test_junk_is_where_nothing_is_valid_and_finite(world: World) -> None:
    rollout = world.collect(world.policy(), 8)
    junk = with_junk(rollout)
    for name in ("action", "reward", "terminated", "truncated", "behaviour_version", "behaviour_log_prob"):
        clean, other = getattr(rollout, name), getattr(junk, name)
        assert torch.equal(clean[rollout.valid], other[rollout.valid])
        assert not torch.equal(clean, other)
        assert clean.dtype == other.dtype
        assert bool(torch.isfinite(other).all())
