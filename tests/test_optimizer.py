"""Clipping and Adam against torch's own, on weights that lie joined and on others."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lagbench.optimizer import Adam, clip_gradient_norm
from lagbench.policies.flat import pieces, whole

SHAPES = [(3,), (4, 3), (1, 5)]


def parameters(*, joined: bool) -> list[nn.Parameter]:
    rng = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=rng) for shape in SHAPES]
    return [nn.Parameter(x) for x in (pieces(torch.cat([x.flatten() for x in made]), made) if joined else made)]


def gradients(step: int, *, joined: bool) -> list[Tensor]:
    rng = torch.Generator().manual_seed(1 + step)
    made = [torch.randn(shape, generator=rng) for shape in SHAPES]
    return pieces(torch.cat([x.flatten() for x in made]), made) if joined else made


def moved(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], steps: range, *, joined: bool) -> list[Tensor]:
    """The weights after steps; at every third one of them has no gradient."""
    for step in steps:
        for i, (p, g) in enumerate(zip(weights, gradients(step, joined=joined), strict=True)):
            p.grad = None if step % 3 == 2 and i == 1 else g
        optimizer.step()
    return [p.detach().clone() for p in weights]


@pytest.mark.parametrize("joined", [True, False])
def test_clipping_is_torchs(joined: bool) -> None:
    for most in (0.5, 100.0):
        ours, theirs = parameters(joined=True), parameters(joined=False)
        for p, q, g in zip(ours, theirs, gradients(0, joined=joined), strict=True):
            p.grad, q.grad = g, g.clone()
        norm = clip_gradient_norm(ours, most)
        torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(theirs, most))
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p.grad, q.grad)


def test_nothing_to_clip() -> None:
    assert clip_gradient_norm(parameters(joined=True), 0.5) == 0


@pytest.mark.parametrize("joined", [True, False])
def test_adam_is_torchs(joined: bool) -> None:
    """Also where a parameter misses a step, and goes on with a count of its own."""
    ours, theirs = parameters(joined=joined), parameters(joined=False)
    for steps in (range(2), range(2, 8)):
        expected = moved(torch.optim.Adam(theirs, lr=0.1, eps=1e-5), theirs, steps, joined=False)
        found = moved(Adam(ours, lr=0.1, eps=1e-5), ours, steps, joined=joined)
        torch.testing.assert_close(found, expected)


def test_each_group_has_its_learning_rate() -> None:
    def both(optimizer: Callable[..., torch.optim.Optimizer], *, joined: bool) -> list[Tensor]:
        weights = parameters(joined=joined)
        groups = [{"params": weights[:2]}, {"params": weights[2:], "lr": 0.0}]
        return moved(optimizer(groups, lr=0.1), weights, range(2), joined=joined)

    found, expected = both(Adam, joined=True), both(torch.optim.Adam, joined=False)
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[2], parameters(joined=True)[2])


@pytest.mark.parametrize("how", ["copied", "apart"])
def test_adam_goes_on_from_its_state_to_the_last_bit(how: str) -> None:
    whole_run = parameters(joined=True)
    expected = moved(Adam(whole_run, lr=0.1), whole_run, range(6), joined=True)
    first = parameters(joined=True)
    before = Adam(first, lr=0.1)
    moved(before, first, range(4), joined=True)
    state = copy.deepcopy(before.state_dict())
    if how == "apart":
        state["state"] = {i: {k: x.clone() for k, x in s.items()} for i, s in state["state"].items()}
    after = Adam(first, lr=0.3)
    after.load_state_dict(state)
    assert all(torch.equal(x, y) for x, y in zip(moved(after, first, range(4, 6), joined=True), expected, strict=True))


def test_a_state_that_is_cleared_begins_again() -> None:
    weights, fresh = parameters(joined=True), parameters(joined=True)
    optimizer = Adam(weights, lr=0.1)
    moved(optimizer, weights, range(2), joined=True)
    with torch.no_grad():
        for p, q in zip(weights, fresh, strict=True):
            p.copy_(q)
    optimizer.state.clear()
    again = moved(optimizer, weights, range(2), joined=True)
    expected = moved(Adam(fresh, lr=0.1), fresh, range(2), joined=True)
    assert all(torch.equal(x, y) for x, y in zip(again, expected, strict=True))


def test_joined_weights_are_updated_as_one() -> None:
    weights = parameters(joined=True)
    optimizer = Adam(weights, lr=0.1)
    moved(optimizer, weights, range(1), joined=True)
    assert whole([optimizer.state[p]["exp_avg"] for p in weights]) is not None


def test_a_graph_notices_that_its_weights_were_updated() -> None:
    weights = parameters(joined=True)
    optimizer = Adam(weights, lr=0.1)
    loss = torch.stack([p.square().sum() for p in weights]).sum()
    moved(optimizer, weights, range(1), joined=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
