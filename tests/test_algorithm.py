"""What an algorithm inherits: estimates, auxiliary losses, the step, the hooks."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

from lagbench import Algorithm, Metrics, PolicyOutput, Rollout, estimators
from lagbench.algorithm import clip_gradient_norm
from lagbench.errors import AlgorithmError, DivergedError, UsageError
from lagbench.policies.flat import pieces
from lagbench.rollout import FIELDS
from lagbench.synthetic import ControlWorld, LanguageWorld
from tests.baselines.tables import CriticTable, Table, batch, make, numbers


class Minimal(Algorithm):
    """The loss alone."""

    def loss(self, batch: Rollout) -> tuple[Tensor, Metrics]:
        new = self.policy.evaluate(batch)
        return -batch.objective(new.log_prob * batch.advantage), {}


def minimal(policy: Table, **config: Any) -> Minimal:
    algorithm = make(Minimal, policy, **config)
    algorithm.optimizer = algorithm.make_optimizer()
    return algorithm


def columns(shape: tuple[int, ...] = (6, 3)) -> dict[str, Tensor]:
    rng = torch.Generator().manual_seed(0)
    names = ("reward", "value", "next_value")
    numeric = dict(zip(names, torch.randn(3, *shape, generator=rng, dtype=torch.float64), strict=True))
    flags = torch.rand(2, *shape, generator=rng) < 0.2
    return {**numeric, "terminated": flags[0], "truncated": flags[1]}


def phase(shape: tuple[int, ...] = (6, 3)) -> Rollout:
    """Rows in time order, without advantages."""
    x = columns(shape)
    data = batch(torch.full(shape, -1.0, dtype=torch.float64), x["reward"], **x)
    fields: dict[str, Any] = {k: getattr(data, k) for k in FIELDS if data.has(k) and k != "advantage"}
    return Rollout(layout="phase", **fields)


def critic(**config: Any) -> Minimal:
    x = columns()
    return minimal(CriticTable(x["value"], x["value"], x["next_value"]), **config)


def test_without_a_loss() -> None:
    algorithm = make(Algorithm, Table(numbers(0.0)))
    with pytest.raises(AlgorithmError, match=r"Algorithm has no `loss`; write loss\(self, batch\)"):
        algorithm.loss(batch(numbers(0.0), numbers(1.0)))


def test_estimate_without_ratios_is_gae() -> None:
    x, algorithm = columns(), critic()
    prepared = algorithm.prepare(phase())
    advantage = estimators.gae(x["reward"], x["value"], x["next_value"], x["terminated"], x["truncated"], 0.99, 0.95)
    assert torch.equal(prepared.advantage, advantage)
    assert torch.equal(prepared.value_target, advantage + x["value"])


def test_estimate_with_ratios_is_v_trace() -> None:
    x, algorithm = columns(), critic(gamma=0.9, lam=0.8)
    log_ratio = torch.linspace(-1, 1, 18, dtype=torch.float64).view(6, 3)
    prepared = algorithm.estimate(phase(), log_ratio, rho_bar=0.9, c_bar=1.1)
    rows = (x["reward"], x["value"], x["next_value"], x["terminated"], x["truncated"])
    trace = estimators.vtrace(*rows, 0.9, 0.8, log_ratio, 0.9, 1.1)
    assert torch.equal(prepared.advantage, trace.q - x["value"])
    assert torch.equal(prepared.value_target, trace.value_target)


@pytest.mark.parametrize("mode", ["full", "scale", "none"])
def test_estimate_on_a_minibatch_standardizes(mode: Literal["full", "scale", "none"]) -> None:
    data, algorithm = phase(), critic(standardize=mode)
    whole = algorithm.estimate(data).advantage
    taken = algorithm.estimate(data.take(torch.arange(3)))
    assert torch.equal(taken.advantage, estimators.standardize(whole, data.valid, mode=mode))


def test_estimate_of_single_steps_is_refused() -> None:
    """Flattened rows are not in time order: what came out would look like advantages and be none."""
    data = phase().steps()
    with pytest.raises(AlgorithmError, match=r"`estimate` needs rows in time order: .* minibatch = \"sequences\""):
        critic().estimate(data)


def test_estimate_without_a_critic_is_relative_to_the_group() -> None:
    """Outcomes 1, 0 and 1, 1; what padding holds is no reward. Ratios change nothing."""
    shape = (2, 4)
    valid = torch.tensor([[True, True, True, True], [True, False, True, True]])
    reward = torch.tensor([[0.0, 0.0, 1.0, 0.0], [1.0, float("nan"), 0.0, 1.0]], dtype=torch.float64)
    zero = torch.zeros(shape, dtype=torch.float64)
    source = batch(zero, zero, valid=valid, reward=reward, group=torch.tensor([7, 7, 3, 3]), longest=2)
    fields: dict[str, Any] = {k: getattr(source, k) for k in FIELDS if source.has(k) and k != "advantage"}
    data = Rollout(layout="phase", longest=2, **fields)
    algorithm = minimal(Table(zero))
    for log_ratio in (None, zero + 1.0):
        prepared = algorithm.estimate(data, log_ratio)
        assert prepared.advantage.tolist() == [[0.5, -0.5, 0.0, 0.0]] * 2
        assert not prepared.has("value_target")


def test_estimate_keeps_a_group_s_advantages_on_its_minibatches() -> None:
    """A minibatch may hold a part of a group, whose mean would be another."""
    world = LanguageWorld()
    policy = world.policy()
    algorithm = make(Minimal, policy)
    prepared = algorithm.estimate(world.collect(policy, 8))
    part = prepared.take(torch.tensor([0, 9]))
    assert algorithm.estimate(part) is part


def test_auxiliary_loss_by_hand() -> None:
    """0.5·((1 − 3)² + (2 − 2)²)/2 − 0.1·mean entropy."""

    class Certain(CriticTable):
        def evaluate(self, batch: Rollout) -> PolicyOutput:
            return super().evaluate(batch)._replace(entropy=numbers(1.0, 3.0))

    data = batch(numbers(0.0, 0.0), numbers(0.0, 0.0), value_target=numbers(3.0, 2.0))
    policy = Certain(numbers(0.0, 0.0), numbers(1.0, 2.0), numbers(0.0, 0.0))
    new = policy.evaluate(data)
    assert minimal(policy).auxiliary_loss(new, data).item() == pytest.approx(1.0)
    assert minimal(policy, value_coef=2.0).auxiliary_loss(new, data).item() == pytest.approx(4.0)
    assert minimal(policy, entropy_coef=0.1).auxiliary_loss(new, data).item() == pytest.approx(0.8)


def test_auxiliary_loss_without_a_critic() -> None:
    policy = Table(numbers(0.0))
    data = batch(numbers(0.0), numbers(0.0))
    assert minimal(policy).auxiliary_loss(policy.evaluate(data), data).item() == 0.0


@pytest.mark.parametrize(("anneal", "expected"), [(True, [0.01, 0.005, 0.0]), (False, [0.01] * 3)])
def test_learning_rate_by_share_of_the_budget(anneal: bool, expected: list[float]) -> None:
    algorithm = minimal(Table(numbers(0.0)), learning_rate=0.01, anneal=anneal)
    found = []
    for progress in (0.0, 0.5, 1.0):
        algorithm.progress = progress
        found.append(algorithm.learning_rate())
    assert found == pytest.approx(expected)


def test_a_step_clips_the_gradient() -> None:
    """Gradient (3, 4) has norm 5; SGD at rate 1 moves by 0.5·(3, 4)/5."""
    algorithm = minimal(Table(numbers(0.0, 0.0)))
    algorithm.optimizer = torch.optim.SGD(algorithm.policy.parameters(), lr=1.0)
    table = algorithm.policy
    assert isinstance(table, Table)
    loss = (table.log_prob * numbers(3.0, 4.0)).sum()
    metrics = algorithm.step(loss, {"mine": torch.tensor(1.0)})
    assert table.log_prob.tolist() == pytest.approx([-0.3, -0.4], rel=1e-5)
    assert {k: float(x) for k, x in metrics.items()} == {"loss": 0.0, "gradient_norm": 5.0, "mine": 1.0}
    assert not any(isinstance(x, Tensor) and x.requires_grad for x in metrics.values())
    # The next step starts from no gradient.
    algorithm.step((table.log_prob * numbers(3.0, 4.0)).sum(), {})
    assert table.log_prob.tolist() == pytest.approx([-0.6, -0.8], rel=1e-5)


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_a_loss_that_is_not_finite(bad: float) -> None:
    algorithm = minimal(Table(numbers(1.0)))
    table = algorithm.policy
    assert isinstance(table, Table)
    with pytest.raises(DivergedError, match="the loss is not finite"):
        algorithm.step(table.log_prob.sum() * bad, {})
    assert table.log_prob.item() == 1.0


def test_a_gradient_that_is_not_finite_while_the_loss_is() -> None:
    """The gradient of sqrt at 0; the policy is left as it was."""
    algorithm = minimal(Table(numbers(0.0)))
    table = algorithm.policy
    assert isinstance(table, Table)
    with pytest.raises(DivergedError, match="the gradient is not finite"):
        algorithm.step(table.log_prob.sqrt().sum(), {})
    assert table.log_prob.item() == 0.0


def test_a_norm_that_overflows_is_a_step_of_zero() -> None:
    """Finite gradients whose squares are not: no end of the run."""
    algorithm = minimal(Table(torch.zeros(2)))
    table = algorithm.policy
    assert isinstance(table, Table)
    algorithm.step((table.log_prob * 1e30).sum(), {})
    assert table.log_prob.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (torch.zeros(2, requires_grad=True), "`loss` must return one number"),
        (0.5, "`loss` must return one number"),
        (torch.tensor(0.5), "the loss has no gradient"),
    ],
)
def test_losses_that_nothing_can_be_learnt_from(loss: Any, says: str) -> None:
    with pytest.raises(AlgorithmError, match=says):
        minimal(Table(numbers(0.0))).step(loss, {})


def test_what_is_a_parameter_buffer_or_submodule_is_saved() -> None:
    class Averaged(Minimal):
        mean: Tensor
        names: ClassVar[list[str]] = []

        def __init__(self, config: Algorithm.Config, policy: Table) -> None:
            super().__init__(config, policy)
            self.register_buffer("mean", torch.zeros(()))
            self.head = torch.nn.Linear(1, 1)

    state = make(Averaged, Table(numbers(1.0))).state_dict()
    assert set(state) == {"mean", "head.weight", "head.bias", "policy.log_prob"}


def test_presets_add_up_along_the_classes() -> None:
    class Base(Minimal):
        presets = {"language": {"learning_rate": 1e-5}, "control": {"gamma": 0.9}}  # noqa: RUF012

    class Derived(Base):
        presets = {"language": {"learning_rate": 1e-6}}  # noqa: RUF012

    assert Derived.preset("language") == {"standardize": "none", "learning_rate": 1e-6}
    assert Derived.preset("control") == {"gamma": 0.9}
    assert Minimal.preset("control") == {}


def test_a_group_may_be_brought_to_one_spread() -> None:
    """Two prompts: rewards 1, 0 and 1, 1, 0, 0, 0, whose standard deviations are 1/2 and √0.24."""
    world = LanguageWorld()
    valid = torch.ones(1, 7, dtype=torch.bool)
    rollout = Rollout(
        observation=torch.zeros(1, 7, dtype=torch.long),
        action=torch.zeros(1, 7, dtype=torch.long),
        reward=torch.tensor([[1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]]),
        terminated=valid,
        truncated=~valid,
        valid=valid,
        behaviour_version=torch.zeros(1, 7),
        behaviour_log_prob=torch.zeros(1, 7),
        group=torch.tensor([0, 0, 1, 1, 1, 1, 1]),
        longest=1,
    )
    for name, expected in {
        "none": [0.5, -0.5, 0.6, 0.6, -0.4, -0.4, -0.4],
        "group": [1.0, -1.0, *(x / 0.24**0.5 for x in (0.6, 0.6, -0.4, -0.4, -0.4))],
    }.items():
        algorithm = Algorithm(Algorithm.Config(standardize=name), world.policy())  # type: ignore[arg-type]
        assert algorithm.estimate(rollout).advantage[0].tolist() == pytest.approx(expected)
        assert algorithm.config.standardize_minibatch == "none"


def test_only_language_has_groups() -> None:
    with pytest.raises(UsageError, match="standardize=group needs groups of completions"):
        Algorithm(Algorithm.Config(standardize="group"), ControlWorld().policy())


@pytest.mark.parametrize("joined", [True, False])
def test_clipping_is_torchs(joined: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=rng) for shape in ((3,), (4, 3), (1, 5))]
    for most in (0.5, 100.0):
        gradients = [torch.randn(x.shape, generator=rng) for x in weights]
        ours, theirs = ([nn.Parameter(x.clone()) for x in weights] for _ in range(2))
        mine = pieces(torch.cat([g.flatten() for g in gradients]), gradients) if joined else gradients
        for p, q, g in zip(ours, theirs, mine, strict=True):
            p.grad, q.grad = g, g.clone()
        norm = clip_gradient_norm(ours, most)
        torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(theirs, most))
        torch.testing.assert_close([p.grad for p in ours], [q.grad for q in theirs])


def test_nothing_to_clip() -> None:
    assert clip_gradient_norm([nn.Parameter(torch.ones(2))], 0.5) == 0
