"""The policy of discrete actions: its numbers by hand, and N of it acting together."""

import math

import numpy as np
import pytest
import torch

from lagbench.policies import categorical
from lagbench.policies.categorical import CategoricalPolicy
from lagbench.rollout import Rollout
from lagbench.tasks.control import restored

OBS, CHOICES = 5, 3


def policy(seed: int = 0) -> CategoricalPolicy:
    """A policy with weights and moments of some size, as after training."""
    generator = torch.Generator().manual_seed(seed)
    made = CategoricalPolicy(OBS, CHOICES, generator, (8,))
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=generator))
    made.normalizer.update(3 * torch.randn(50, OBS, dtype=torch.float64, generator=generator) + 1)
    return made


def rollout(t: int, n: int) -> Rollout:
    generator = torch.Generator().manual_seed(0)
    flags = torch.zeros(t, n, dtype=torch.bool)
    return Rollout(
        observation=5 * torch.randn(t + 1, n, OBS, dtype=torch.float64, generator=generator),
        action=torch.randint(CHOICES, (t, n), generator=generator),
        reward=torch.zeros(t, n),
        terminated=flags,
        truncated=flags,
        valid=torch.ones(t, n, dtype=torch.bool),
        behaviour_version=torch.zeros(t, n, dtype=torch.int64),
        behaviour_log_prob=torch.zeros(t, n),
    )


def test_log_prob_entropy_and_conditioning_by_hand() -> None:
    # Logits log 1, log 2, log 5: probabilities 1/8, 2/8, 5/8.
    logits = torch.tensor([1.0, 2.0, 5.0]).log()
    p = [1 / 8, 2 / 8, 5 / 8]
    assert float(categorical.log_prob(torch.tensor(1), logits)) == pytest.approx(math.log(1 / 4))
    assert float(categorical.entropy(logits)) == pytest.approx(-sum(x * math.log(x) for x in p))
    moved = 1 + math.log(5) + 2 / 8 * math.log(2) + 5 / 8 * math.log(5)
    assert float(categorical.conditioning(torch.tensor(2), logits)) == pytest.approx(moved)


def test_evaluate_is_the_networks_at_the_actions() -> None:
    made, batch = policy(), rollout(4, 3)
    whole, steps = made.evaluate(batch), made.evaluate(batch.steps())
    x = made.normalizer(batch.observation)
    expected = torch.distributions.Categorical(logits=made.actor(x[:-1]))
    torch.testing.assert_close(whole.log_prob, expected.log_prob(batch.action))
    torch.testing.assert_close(whole.entropy, expected.entropy())
    value = made.critic(x).squeeze(-1)
    assert whole.value is not None
    assert whole.next_value is not None
    assert steps.value is not None
    assert steps.next_value is None
    torch.testing.assert_close(whole.value, value[:-1])
    torch.testing.assert_close(whole.next_value, value[1:])
    torch.testing.assert_close(steps.log_prob, whole.log_prob.flatten())
    (whole.log_prob.sum() + whole.entropy.sum() + whole.value.sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in made.parameters())


def test_each_of_many_acts_as_its_own_version() -> None:
    policies = [policy(k) for k in range(4)]
    acting = policies[0].acting([made.version(k) for k, made in enumerate(policies)])
    observation = 5 * np.random.default_rng(0).standard_normal((4, OBS))
    output = acting.output(observation).copy()
    with torch.no_grad():
        alone = [
            made.actor(made.normalizer(torch.from_numpy(o))) for made, o in zip(policies, observation, strict=True)
        ]
    np.testing.assert_allclose(output, torch.stack(alone), atol=1e-5)
    chosen = np.empty(4, np.int32)
    acting.choose(output, None, chosen)
    assert chosen.tolist() == output.argmax(-1).tolist()
    assert acting.apart(chosen, output, None).tolist() == [0.0] * 4
    second = np.argsort(output)[:, -2]
    np.testing.assert_allclose(acting.apart(second, output, None), np.sort(output)[:, -1] - np.sort(output)[:, -2])
    assert acting.apart(np.array([0, 3, -1, 0]), output, None)[1:3].tolist() == [np.inf, np.inf]


def test_noise_gives_the_probabilities() -> None:
    acting = policy().acting([policy().version(0)])
    logits = np.log(np.array([1, 2, 5], np.float32))
    drawn = np.empty(20_000, np.int32)
    acting.choose(np.broadcast_to(logits, (len(drawn), 3)), acting.noise(np.random.default_rng(0), len(drawn)), drawn)
    # Four standard errors of 0.625 over 20,000 draws are 0.014.
    np.testing.assert_allclose(np.bincount(drawn) / len(drawn), [1 / 8, 2 / 8, 5 / 8], atol=0.014)


def test_it_is_restored_from_its_state() -> None:
    made = policy()
    again = restored("CartPole-v1", {}, made.state_dict())
    assert isinstance(again, CategoricalPolicy)
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in made.state_dict().items())
