"""The pass that is written down, against torch's own operations on the same modules."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lagbench.policies.flat import whole
from lagbench.policies.gaussian import GaussianPolicy, log_prob
from lagbench.rollout import Rollout
from tests.policies.test_gaussian import ACT, OBS, policy, rollout

Loss = Callable[..., Tensor]

LOSSES: dict[str, Loss] = {
    "all": lambda log_prob, entropy, value, following: (
        (log_prob * torch.linspace(-1, 1, log_prob.numel()).view(log_prob.shape)).exp().mean()
        + 0.1 * entropy.mean()
        + (value - 1).square().mean()
        + (0 if following is None else following.square().sum())
    ),
    "actor": lambda log_prob, *_: log_prob.square().mean(),
    "critic": lambda _, __, value, ___: (value - 1).square().mean(),
    "entropy": lambda _, entropy, *__: entropy.square().mean(),
}


def by_torch(made: GaussianPolicy, batch: Rollout) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """``evaluate`` by the modules, with torch's tanh."""

    def network(layers: nn.Sequential, x: Tensor) -> Tensor:
        for layer in layers:
            x = layer(x) if isinstance(layer, nn.Linear) else torch.tanh(x)
        return x

    x = made.normalizer(batch.observation)
    value = network(made.critic, x).squeeze(-1)
    chosen = log_prob(batch.action, network(made.actor, x[: len(batch.action)]), made.log_std)
    entropy = torch.distributions.Normal(0, made.log_std.exp()).entropy().sum().expand_as(chosen)
    if batch.layout == "steps":
        return chosen, entropy, value, None
    return chosen, entropy, value[:-1], value[1:]


def gradient(loss: Tensor, made: GaussianPolicy) -> list[Tensor | None]:
    return [*torch.autograd.grad(loss, [*made.parameters()], allow_unused=True)]


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("layout", ["steps", "sequences"])
@pytest.mark.parametrize("hidden", [(64, 64), (24,), (16, 32, 8)], ids=str)
def test_outputs_and_gradients_are_torchs(hidden: tuple[int, ...], layout: str, loss: Loss) -> None:
    made = policy(hidden=hidden)
    batch = rollout(12, 9).steps() if layout == "steps" else rollout(12, 9).take(torch.arange(5))
    found, expected = made.evaluate(batch), by_torch(made, batch)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    pairs = zip(gradient(loss(*found), made), gradient(loss(*expected), made), strict=True)
    for ours, theirs in pairs:
        # What nothing depends on has none, and not one of zeros: an optimizer makes a difference.
        assert (ours is None) == (theirs is None)
        if ours is not None and theirs is not None:
            assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def test_in_float64_it_is_the_derivative() -> None:
    made = policy(hidden=(5, 4)).double()
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(7, OBS, dtype=torch.float64, generator=rng)
    action = torch.randn(6, ACT, dtype=torch.float64, generator=rng)
    assert whole([*made.parameters()]) is not None

    def outputs(*_: Tensor) -> tuple[Tensor, ...]:
        return made._evaluated(x, action)

    torch.autograd.gradcheck(outputs, [*made.parameters()])
    torch.autograd.gradgradcheck(outputs, [*made.parameters()], atol=1e-4)


def test_the_gradient_can_be_differentiated() -> None:
    """As of a Fisher-vector product: the gradient of the squared norm of a gradient."""
    made, batch = policy(), rollout(6, 4).steps()
    found = []
    for evaluate in (made.evaluate, lambda b: by_torch(made, b)):
        weights = [*made.actor.parameters()]
        first = torch.autograd.grad(evaluate(batch)[0].square().mean(), weights, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in first), weights))  # type: ignore[arg-type]
    for ours, theirs in zip(*found, strict=True):
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm()


def test_observations_and_actions_may_have_gradients() -> None:
    made, batch = policy(), rollout(6, 4).steps()
    action = batch.action.clone().requires_grad_()
    made.evaluate(batch.replace(action=action)).log_prob.sum().backward()
    expected = torch.distributions.Normal(made.actor(made.normalizer(batch.observation)), made.log_std.exp())
    torch.testing.assert_close(action.grad, (expected.mean - action) / expected.variance, rtol=1e-4, atol=1e-4)


def test_gradients_lie_joined_and_add_up() -> None:
    made, batch = policy(), rollout(6, 4).steps()
    loss = LOSSES["all"]
    loss(*made.evaluate(batch)).backward()
    once = [p.grad.clone() for p in made.parameters() if p.grad is not None]
    assert whole([p.grad for p in made.parameters() if p.grad is not None]) is not None
    kept = [p.grad for p in made.parameters()]
    loss(*made.evaluate(batch)).backward()
    for p, g, before in zip(made.parameters(), once, kept, strict=True):
        assert p.grad is before
        torch.testing.assert_close(p.grad, 2 * g)


def test_a_gradient_that_is_kept_is_not_written_to_again() -> None:
    made, batch = policy(), rollout(6, 4).steps()
    first = gradient(made.evaluate(batch).log_prob.sum(), made)
    copies = [None if g is None else g.clone() for g in first]
    gradient(made.evaluate(batch).log_prob.square().sum(), made)
    for g, copied in zip(first, copies, strict=True):
        assert (g is None) == (copied is None)
        assert g is None or copied is None or torch.equal(g, copied)


def test_frozen_weights_have_no_gradient() -> None:
    made, batch = policy(), rollout(6, 4).steps()
    made.critic.requires_grad_(False)
    made.get_parameter("actor.0.weight").requires_grad_(False)
    LOSSES["all"](*made.evaluate(batch)).backward()
    with_gradient = {name for name, p in made.named_parameters() if p.grad is not None}
    assert with_gradient == {"log_std", *(f"actor.{n}" for n in ("0.bias", "2.weight", "2.bias", "4.weight", "4.bias"))}


def test_a_weight_changed_before_backward_is_noticed() -> None:
    made, batch = policy(), rollout(6, 4).steps()
    loss = made.evaluate(batch).log_prob.sum()
    with torch.no_grad():
        made.get_parameter("critic.2.weight").add_(1)
    with pytest.raises(RuntimeError, match="a weight was changed between `evaluate`"):
        loss.backward()


def moved_apart(made: GaussianPolicy) -> GaussianPolicy:
    weight = made.get_parameter("actor.2.weight")
    weight.data = weight.data.clone()
    return made


def assigned(made: GaussianPolicy) -> GaussianPolicy:
    made.load_state_dict(copy.deepcopy(made.state_dict()), assign=True)
    return made


@pytest.mark.parametrize(
    "change",
    [
        copy.deepcopy,
        lambda made: made.double().float(),
        moved_apart,
        assigned,
        lambda made: GaussianPolicy.from_state(made.state_dict()),
    ],
    ids=["deepcopy", "to", "data", "assign", "from_state"],
)
def test_weights_that_lie_elsewhere_are_found_and_joined(change: Callable[[GaussianPolicy], GaussianPolicy]) -> None:
    """A copy is evaluated by its own weights, and these are parameters that can be changed one by one."""
    original, batch = policy(), rollout(6, 4).steps()
    original.evaluate(batch)
    made = change(original)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.1)
    for ours, theirs in zip(made.evaluate(batch), by_torch(made, batch), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert whole([*made.parameters()]) is not None


def tied(made: GaussianPolicy) -> None:
    made.critic[0] = made.actor[0]


def other_activation(made: GaussianPolicy) -> None:
    made.actor[1] = nn.ReLU()


def wider_critic(made: GaussianPolicy) -> None:
    made.critic[2], made.critic[4] = nn.Linear(64, 9), nn.Linear(9, 1)


def no_bias(made: GaussianPolicy) -> None:
    made.critic[4] = nn.Linear(64, 1, bias=False)


def parametrized(made: GaussianPolicy) -> None:
    nn.utils.parametrizations.weight_norm(made.actor[2])


def other_log_std(made: GaussianPolicy) -> None:
    made.log_std = nn.Parameter(torch.full((ACT,), 0.3))


@pytest.mark.parametrize("change", [tied, other_activation, wider_critic, no_bias, parametrized, other_log_std])
def test_a_network_that_was_changed_is_evaluated_as_it_is(change: Callable[[GaussianPolicy], None]) -> None:
    made, batch = policy(), rollout(6, 4).steps()
    made.evaluate(batch)
    change(made)
    for _ in range(2):
        x = made.normalizer(batch.observation)
        new = made.evaluate(batch)
        assert new.value is not None
        torch.testing.assert_close(new.value, made.critic(x).squeeze(-1), rtol=1e-5, atol=1e-5)
        expected = log_prob(batch.action, made.actor(x), made.log_std)
        torch.testing.assert_close(new.log_prob, expected, rtol=1e-5, atol=1e-5)
        ours, theirs = (gradient(y.square().mean(), made) for y in (new.log_prob, expected))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            for p in made.parameters():
                p.add_(0.05)
