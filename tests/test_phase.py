"""Phases: each valid row once an epoch, near-equal minibatches, the cap, when to prepare, what may be logged."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lagbench import Phase, Rollout
from lagbench.errors import AlgorithmError
from tests.test_rollout import masks, numbered

Minibatch = Literal["steps", "sequences"]


class Work:
    """A phase whose preparing is counted: every row's advantage is the number of times the learner was looked at."""

    def __init__(self, rollout: Rollout, seed: int = 0, **settings: Any) -> None:
        self.prepared = 0
        self.refreshed = 0
        self.phase = Phase(
            rollout,
            prepare=self.prepare,
            refresh=self.refresh,
            rng=np.random.default_rng(seed),
            **{
                "every": "phase",
                "minibatch": "steps",
                "minibatches": 1,
                "cap": 4,
                "standardization": "none",
                "reserved": frozenset({"tv", "loss"}),
                **settings,
            },
        )

    def prepare(self, rollout: Rollout) -> Rollout:
        self.prepared += 1
        assert not torch.is_grad_enabled()
        assert not rollout.has("advantage")
        return rollout.replace(advantage=torch.full(rollout.valid.shape, float(self.refreshed)))

    def refresh(self, rollout: Rollout) -> Rollout:
        self.refreshed += 1
        return rollout


@given(masks(), st.integers(1, 5), st.integers(1, 3))
def test_each_valid_row_once_an_epoch_in_near_equal_parts(valid: Tensor, m: int, epochs: int) -> None:
    count = int(valid.sum())
    m = min(m, count)
    batches = list(Work(numbered(valid), minibatches=m, cap=m * epochs).phase.batches())
    assert len(batches) == m * epochs
    for i in range(epochs):
        epoch = batches[i * m : (i + 1) * m]
        seen = torch.cat([b.behaviour_version for b in epoch])
        assert torch.equal(seen.sort().values, torch.arange(valid.numel())[valid.flatten()])
        sizes = [len(b.valid) for b in epoch]
        assert max(sizes) - min(sizes) <= 1
        for b in epoch:
            assert b.layout == "steps"
            assert torch.equal(b.observation.flatten().long(), b.behaviour_version)


@given(masks(), st.integers(1, 5))
def test_sequences_are_whole_and_in_time_order(valid: Tensor, m: int) -> None:
    length, n = valid.shape
    m = min(m, n)
    batches = list(Work(numbered(valid), minibatches=m, cap=m, minibatch="sequences").phase.batches())
    columns = torch.cat([b.behaviour_version for b in batches], dim=1)
    assert torch.equal(columns.diff(dim=0), torch.full((length - 1, n), n))
    assert torch.equal(columns[0].sort().values, torch.arange(n))
    for b in batches:
        assert b.layout == "sequences"
        assert b.observation.shape[:2] == (length + 1, b.valid.shape[1])
        assert torch.equal(b.observation[-1, :, 0].long() - n, b.behaviour_version[-1])


def test_on_language_the_smallest_thing_is_a_completion() -> None:
    valid = torch.tensor([[True, True, True], [True, False, True]])
    data = numbered(valid, longest=2)
    for minibatch in ("steps", "sequences"):
        batches = list(Work(data, minibatches=3, cap=3, minibatch=minibatch).phase.batches())
        assert [b.valid.shape for b in batches] == [(2, 1)] * 3
        assert {b.layout for b in batches} == {"sequences"}


@given(st.integers(1, 11))
def test_the_cap_may_fall_inside_an_epoch(cap: int) -> None:
    work = Work(numbered(torch.ones(3, 4, dtype=torch.bool)), minibatches=4, cap=cap)
    assert len(list(work.phase.batches())) == cap
    assert work.prepared == 1


def test_epochs_are_shuffled_anew_from_the_stream() -> None:
    data = numbered(torch.ones(8, 8, dtype=torch.bool))

    def order(seed: int) -> list[list[int]]:
        return [b.behaviour_version.tolist() for b in Work(data, seed, cap=2).phase.batches()]

    first, second = order(0)
    assert first != second
    assert first != sorted(first)
    assert order(0) == [first, second]
    assert order(1)[0] != first


@pytest.mark.parametrize(("every", "prepared", "seen"), [("phase", 1, [0, 0, 0]), ("epoch", 3, [0, 1, 2])])
def test_when_to_prepare(every: str, prepared: int, seen: list[float]) -> None:
    work = Work(numbered(torch.ones(3, 4, dtype=torch.bool)), every=every, minibatches=2, cap=6)
    advantages = [b.advantage[0].item() for b in work.phase.batches()]
    assert advantages[::2] == seen
    assert work.prepared == prepared
    assert work.phase.rollout.advantage[0, 0].item() == seen[-1]


def test_prepare_is_called_even_where_no_minibatch_is_asked_for() -> None:
    work = Work(numbered(torch.ones(1, 1, dtype=torch.bool)))
    assert work.phase.rollout.has("advantage")
    assert work.phase.rollout is work.phase.rollout
    assert work.prepared == 1


@pytest.mark.parametrize("minibatch", ["steps", "sequences"])
def test_advantages_are_standardized_over_the_valid_rows_of_a_minibatch(minibatch: Minibatch) -> None:
    valid = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)) < 0.7
    data = numbered(valid)

    def prepare(r: Rollout) -> Rollout:
        return r.replace(advantage=torch.where(r.valid, r.reward, 1e9))

    work = Work(data, minibatch=minibatch, minibatches=2, cap=2, standardization="full")
    work.phase._prepare = prepare
    for b in work.phase.batches():
        a = b.advantage[b.valid]
        assert torch.allclose(a.mean(), torch.tensor(0.0), atol=1e-6)
        assert torch.allclose(a.std(), torch.tensor(1.0), rtol=1e-5)
        assert not b.advantage[~b.valid].any()


@pytest.mark.parametrize("minibatch", ["steps", "sequences"])
def test_rows_of_earlier_phases_make_more_minibatches_of_the_same_size(minibatch: Minibatch) -> None:
    """Two phases of 24 rows in minibatches of 12: an epoch is 4, over both, mixed."""
    data = numbered(torch.ones(4, 6, dtype=torch.bool))
    old = data.replace(behaviour_version=data.behaviour_version + 100)
    work = Work(data, minibatch=minibatch, minibatches=2, cap=4)
    work.phase._prepare = lambda r: r.join(old)
    batches = list(work.phase.batches())
    assert [b.valid.numel() for b in batches] == [12] * 4
    seen = torch.cat([b.behaviour_version.flatten() for b in batches])
    assert seen.sort().values.tolist() == [*range(24), *range(100, 124)]
    assert any(0 < (b.behaviour_version >= 100).sum() < 12 for b in batches)


def test_what_the_harness_set_must_come_back() -> None:
    data = numbered(torch.ones(1, 1, dtype=torch.bool))
    work = Work(data.replace(log_prob=data.reward))
    work.phase._prepare = lambda r: data
    with pytest.raises(AlgorithmError, match=r"returned a rollout without log_prob, .* rollout.join\(\*self.stored\)"):
        work.phase.rollout  # noqa: B018


def test_too_few_samples_for_the_minibatches() -> None:
    data = numbered(torch.tensor([[True, False], [True, True]]))
    with pytest.raises(AlgorithmError, match="3 valid rows cannot be divided into 4 minibatches"):
        next(Work(data, minibatches=4).phase.batches())
    with pytest.raises(AlgorithmError, match="2 sequences cannot be divided into 3 minibatches"):
        next(Work(data, minibatches=3, minibatch="sequences").phase.batches())


def test_prepare_must_return_a_rollout() -> None:
    work = Work(numbered(torch.ones(1, 1, dtype=torch.bool)))
    work.phase._prepare = lambda r: None  # type: ignore[assignment,return-value]
    with pytest.raises(AlgorithmError, match="`prepare` must return the rollout"):
        work.phase.rollout  # noqa: B018


def phase() -> Phase:
    return Work(numbered(torch.ones(1, 1, dtype=torch.bool))).phase


def test_metrics_are_the_mean_over_updates() -> None:
    work = phase()
    work.record({"a": torch.tensor(1.0), "b": torch.tensor([True])})
    work.record({"a": torch.tensor(2.0, dtype=torch.float64), "b": torch.tensor([False])})
    assert work.metrics() == {"a": 1.5, "b": 0.5}


def test_metrics_may_be_numbers() -> None:
    work = phase()
    work.record({"a": 1, "b": True, "c": np.float64(0.25), "d": 0.5})
    work.record({"a": torch.tensor(2), "b": False, "c": 0.75, "d": math.nan})
    found = work.metrics()
    assert math.isnan(found.pop("d"))
    assert found == {"a": 1.5, "b": 0.5, "c": 0.5}


def test_no_updates_no_metrics() -> None:
    work = phase()
    assert work.metrics() == {}
    work.record({})
    assert work.metrics() == {}


@pytest.mark.parametrize(
    ("metrics", "says"),
    [
        ({"tv": torch.tensor(1.0)}, "'tv' is reserved by the harness; choose another"),
        (
            {"a": torch.tensor(1.0, requires_grad=True)},
            r"'a' must be a number or a detached scalar tensor \(x.detach\(\)\)",
        ),
        ({"a": torch.zeros(2)}, "'a' must be a number or a detached scalar"),
        ({"a": "1.0"}, "'a' must be a number or a detached scalar"),
        (None, "metrics must be a dictionary, not None; an algorithm's own `step` returns them"),
        ([1.0], r"metrics must be a dictionary, not \[1.0\]"),
    ],
)
def test_what_may_not_be_logged(metrics: dict[str, Any], says: str) -> None:
    with pytest.raises(AlgorithmError, match=says):
        phase().record(metrics)


@pytest.mark.parametrize("second", [{}, {"b": torch.tensor(1.0)}, {"a": torch.tensor(1.0), "b": torch.tensor(1.0)}])
def test_the_same_names_at_every_update(second: dict[str, Tensor]) -> None:
    work = phase()
    work.record({"a": torch.tensor(1.0)})
    with pytest.raises(AlgorithmError, match="is not logged at every update"):
        work.record(second)
