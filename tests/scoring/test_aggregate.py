"""Aggregates are rliable's, number by number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rliable import metrics

from lagbench.scoring import aggregate

numbers = st.floats(-10, 10, allow_subnormal=False)
matrices = arrays(np.float64, st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=numbers)


def test_by_hand() -> None:
    """Eight scores: a quarter, two, is cut from each end."""
    scores = np.array([[0.0, 10.0], [1.0, 4.0], [2.0, 5.0], [-7.0, 3.0]])
    found = aggregate.aggregates(scores[..., None])
    assert found["iqm"] == pytest.approx([(1 + 2 + 3 + 4) / 4])
    assert found["mean"] == pytest.approx([(-1 + 5.5) / 2])
    assert found["median"] == pytest.approx([(-1 + 5.5) / 2])
    assert found["optimality_gap"] == pytest.approx([1 - (0 + 1 + 1 - 7 + 4) / 8])
    assert aggregate.task_means(scores) == pytest.approx([-1, 5.5])


@given(matrices)
def test_equal_to_rliables(scores: NDArray[np.float64]) -> None:
    found = aggregate.aggregates(np.stack([scores, scores + 1], axis=-1))
    for name, function in (
        ("iqm", metrics.aggregate_iqm),
        ("median", metrics.aggregate_median),
        ("mean", metrics.aggregate_mean),
        ("optimality_gap", metrics.aggregate_optimality_gap),
    ):
        assert found[name] == pytest.approx([function(scores), function(scores + 1)], abs=1e-12)


@given(st.integers(1, 3).flatmap(lambda tasks: st.tuples(*[_scores(tasks)] * 2)))
def test_improvement_is_rliables(pair: tuple[NDArray[np.float64], NDArray[np.float64]]) -> None:
    """Whole numbers, so that there are ties."""
    first, second = pair
    found = aggregate.improvement(np.stack([first, first + 9], -1), np.stack([second, second], -1))
    assert found == pytest.approx([metrics.probability_of_improvement(first, second), 1])
    assert aggregate.improvement(second, first) == pytest.approx(1 - found[0])


def _scores(tasks: int) -> st.SearchStrategy[NDArray[np.float64]]:
    shape = st.tuples(st.integers(1, 6), st.just(tasks))
    return arrays(np.float64, shape, elements=st.integers(0, 4).map(float))


def test_improvement_by_hand() -> None:
    """Of 2 × 3 pairs on the first task 4 are won and one is even; on the second all are lost."""
    first = np.array([[1.0, 0.0], [3.0, 0.0]])
    second = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
    assert aggregate.improvement(first, second) == pytest.approx(((4 + 0.5) / 6 + 0) / 2)
