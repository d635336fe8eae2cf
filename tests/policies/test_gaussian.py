"""The policy of control: its numbers against the formulas in NumPy, and N of it acting together."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lagbench.policies.base import Version
from lagbench.policies.gaussian import GaussianPolicy, log_prob
from lagbench.policies.mlp import StackedNetworks
from lagbench.rollout import Rollout

OBS, ACT = 7, 3


def policy(seed: int = 0, hidden: Sequence[int] = (64, 64)) -> GaussianPolicy:
    """A policy with weights and moments of some size, as after training."""
    generator = torch.Generator().manual_seed(seed)
    made = GaussianPolicy(OBS, ACT, generator, hidden)
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    made.normalizer.update(3 * torch.randn(50, OBS, dtype=torch.float64, generator=generator) + 1)
    return made


def rollout(t: int, n: int, seed: int = 0) -> Rollout:
    generator = torch.Generator().manual_seed(seed)
    flags = torch.zeros(t, n, dtype=torch.bool)
    return Rollout(
        observation=5 * torch.randn(t + 1, n, OBS, dtype=torch.float64, generator=generator),
        action=torch.randn(t, n, ACT, generator=generator),
        reward=torch.zeros(t, n),
        terminated=flags,
        truncated=flags,
        valid=torch.rand(t, n, generator=generator) > 0.2,
        behaviour_version=torch.zeros(t, n, dtype=torch.int64),
        behaviour_log_prob=torch.zeros(t, n),
    )


def network(x: NDArray[np.float64], state: Mapping[str, Tensor], name: str) -> NDArray[np.float64]:
    """The tanh network in float64."""
    layers = [[state[f"{name}.{i}.{k}"].double().numpy() for k in ("weight", "bias")] for i in (0, 2, 4)]
    for weight, bias in layers[:2]:
        x = np.tanh(x @ weight.T + bias)
    out: NDArray[np.float64] = x @ layers[2][0].T + layers[2][1]
    return out


def normalized(x: NDArray[np.float64], made: GaussianPolicy) -> NDArray[np.float64]:
    mean, variance = made.normalizer.mean.numpy(), made.normalizer.variance.numpy()
    clipped: NDArray[np.float64] = np.clip((x - mean) / np.sqrt(variance + 1e-8), -10, 10)
    return clipped


def test_log_prob_by_hand() -> None:
    # N(1, 2²) at 3 and N(0, 1) at 0: −½ − log 2 − log √2π, and −log √2π.
    value = log_prob(torch.tensor([3.0, 0.0]), torch.tensor([1.0, 0.0]), torch.tensor([math.log(2.0), 0.0]))
    assert float(value) == pytest.approx(-0.5 - math.log(2) - math.log(2 * math.pi), rel=1e-6)


def test_log_prob_is_torchs_normal_summed_over_the_action() -> None:
    g = torch.Generator().manual_seed(0)
    action, mean = torch.randn(5, 4, ACT, generator=g), torch.randn(5, 4, ACT, generator=g)
    log_std = torch.randn(ACT, generator=g)
    expected = torch.distributions.Normal(mean, log_std.exp()).log_prob(action).sum(-1)
    torch.testing.assert_close(log_prob(action, mean, log_std), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", ["phase", "sequences", "steps"])
def test_evaluate_is_the_networks_as_written_out(layout: str) -> None:
    made = policy()
    batch = rollout(6, 4)
    if layout == "sequences":
        batch = batch.take(torch.tensor([2, 0]))
    if layout == "steps":
        batch = batch.steps()
    new = made.evaluate(batch)
    state = made.state_dict()
    x = normalized(batch.observation.numpy(), made)
    acted = x if layout == "steps" else x[:-1]
    mean, log_std = network(acted, state, "actor"), state["log_std"].double().numpy()
    z = (batch.action.double().numpy() - mean) / np.exp(log_std)
    expected = -(z**2 / 2 + log_std + math.log(2 * math.pi) / 2).sum(-1)
    np.testing.assert_allclose(new.log_prob.detach(), expected, rtol=1e-4, atol=1e-4)
    entropy = (log_std + 0.5 * math.log(2 * math.pi * math.e)).sum()
    np.testing.assert_allclose(new.entropy.detach(), np.full(expected.shape, entropy), rtol=1e-6)
    value = network(x, state, "critic")[..., 0]
    assert new.value is not None
    if layout == "steps":
        assert new.next_value is None
        np.testing.assert_allclose(new.value.detach(), value, rtol=1e-4, atol=1e-4)
    else:
        assert new.next_value is not None
        np.testing.assert_allclose(new.value.detach(), value[:-1], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(new.next_value.detach(), value[1:], rtol=1e-4, atol=1e-4)


def test_gradients_reach_every_weight_and_no_moment() -> None:
    made = policy()
    new = made.evaluate(rollout(6, 4))
    assert new.value is not None
    (new.log_prob.sum() + new.entropy.sum() + new.value.sum()).backward()
    for name, p in made.named_parameters():
        assert p.grad is not None, name
        assert (p.grad != 0).any(), name
    assert {name.split(".")[0] for name, _ in made.named_parameters()} == {"actor", "critic", "log_std"}


def test_the_initial_weights_come_from_the_given_stream_alone() -> None:
    torch.manual_seed(1)
    first = GaussianPolicy(OBS, ACT, torch.Generator().manual_seed(5)).state_dict()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = GaussianPolicy(OBS, ACT, torch.Generator().manual_seed(5)).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[k], second[k]) for k in first)
    other = GaussianPolicy(OBS, ACT, torch.Generator().manual_seed(6)).state_dict()
    assert not torch.equal(first["actor.0.weight"], other["actor.0.weight"])


def test_the_initial_weights_are_orthogonal_with_the_gains_of_the_last_layers() -> None:
    state = GaussianPolicy(OBS, ACT, torch.Generator().manual_seed(0)).state_dict()
    gains = {0: math.sqrt(2), 2: math.sqrt(2)}
    for name, last in (("actor", 0.01), ("critic", 1.0)):
        for i, gain in {**gains, 4: last}.items():
            weight = state[f"{name}.{i}.weight"].double()
            rows = weight if weight.shape[0] <= weight.shape[1] else weight.T
            torch.testing.assert_close(
                rows @ rows.T, gain**2 * torch.eye(len(rows), dtype=torch.float64), rtol=0, atol=1e-5
            )
            assert not state[f"{name}.{i}.bias"].any()
        assert state[f"{name}.2.weight"].shape == (64, 64)
    assert not state["log_std"].any()


def test_a_version_keeps_what_acting_needs_apart_from_the_learner() -> None:
    made = policy()
    version = made.version(3)
    assert version.number == 3
    assert not [k for k in version.state if k.startswith("critic")]
    kept = {k: v.clone() for k, v in version.state.items()}
    with torch.no_grad():
        for p in made.parameters():
            p.add_(1.0)
    made.observe(rollout(6, 4))
    assert all(torch.equal(v, kept[k]) and not v.requires_grad for k, v in version.state.items())


def test_observe_takes_in_the_valid_rows_that_were_acted_on() -> None:
    made = GaussianPolicy(OBS, ACT, torch.Generator().manual_seed(0))
    batch = rollout(6, 4)
    assert not batch.valid.all()
    made.observe(batch)
    rows = batch.observation.numpy()[:-1][batch.valid.numpy()]
    assert float(made.normalizer.count) == len(rows)
    np.testing.assert_allclose(made.normalizer.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(made.normalizer.variance, rows.var(0), rtol=1e-12)


def one_alone(version: Version, observation: Tensor) -> NDArray[np.float64]:
    """The mean action of one version for one observation, in float64."""
    x = observation.double().numpy() - version.state["normalizer.mean"].numpy()
    x = np.clip(x / np.sqrt(version.state["normalizer.variance"].numpy() + 1e-8), -10, 10)
    return network(x, version.state, "actor")


@pytest.mark.parametrize(
    "numbers", [[0, 1, 2, 3, 4, 5, 6, 7], [5] * 8, [3, 1, 3, 0, 0, 7, 1, 3], [4]], ids=["all", "equal", "mixed", "one"]
)
def test_each_stacked_actor_acts_as_its_own_policy_alone(numbers: list[int]) -> None:
    policies = [policy(seed) for seed in range(8)]
    versions = [policies[k].version(k) for k in numbers]
    actors = policies[0].acting(versions)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):  # the buffers are used again: nothing of the step before is left
        observation = 5 * torch.randn(len(numbers), OBS, dtype=torch.float64, generator=generator)
        mean = torch.from_numpy(actors.output(observation.numpy()).copy())
        assert mean.dtype == torch.float32
        alone = np.stack([one_alone(v, o) for v, o in zip(versions, observation, strict=True)])
        np.testing.assert_allclose(mean, alone, atol=1e-5)
        single = [StackedNetworks([v])(o[None]) for v, o in zip(versions, observation.numpy(), strict=True)]
        np.testing.assert_allclose(mean, np.concatenate(single), rtol=0, atol=1e-6)
        # As the learner sees the same rows.
        learner = torch.stack(
            [policies[k].actor(policies[k].normalizer(o)) for k, o in zip(numbers, observation, strict=True)]
        )
        torch.testing.assert_close(mean, learner, rtol=0, atol=1e-5)
    for i, k in enumerate(numbers):
        alone_too = policies[k].acting([policies[k].version(k)])
        noise = np.ones((1, ACT), np.float32)
        assert (actors.spread(np.ones((len(numbers), ACT), np.float32))[i] == alone_too.spread(noise)[0]).all()
        assert (noise[0] == policies[k].log_std.detach().exp().numpy()).all()


def test_stacked_actors_are_apart_from_the_versions_they_were_made_of() -> None:
    made = policy()
    version = made.version(0)
    actors = StackedNetworks([version, version])
    observation = np.ones((2, OBS))
    before = actors(observation).copy()
    for tensor in version.state.values():
        tensor.add_(1.0)
    assert (actors(observation) == before).all()


def test_a_step_makes_the_same_bits_again() -> None:
    observation = np.random.default_rng(0).standard_normal((8, OBS))
    versions = [policy(k).version(k) for k in range(8)]
    first = StackedNetworks(versions)(observation).copy()
    for _ in range(5):
        litter = torch.randn(1001)  # memory lies elsewhere the next time
        assert (StackedNetworks(versions)(observation) == first).all()
        del litter
