"""rliable's intervals: the same every time, of runs drawn column by column."""

from __future__ import annotations

import numpy as np
import pytest
from rliable import library, metrics

from lagbench.scoring import bootstrap
from lagbench.scoring.bootstrap import Array, Intervals


def mean(*drawn: Array) -> dict[str, Array]:
    return {"mean": np.array([x.mean() for x in drawn])}


def test_equal_to_rliable_called_directly() -> None:
    scores = np.random.default_rng(0).standard_normal((5, 3))
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(bootstrap.SEED)  # noqa: NPY002
    value, bounds = library.get_interval_estimates(
        {"a": scores}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=200
    )
    np.random.set_state(before)  # noqa: NPY002
    found = bootstrap.intervals([scores], lambda x: {"iqm": np.array([metrics.aggregate_iqm(x)])}, 200)["iqm"]
    assert found.value == value["a"]
    assert np.array_equal([found.low, found.high], bounds["a"])


def test_the_global_generator_stays_as_it_was() -> None:
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.random(4)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    first = bootstrap.intervals([np.arange(6.0)[:, None]], mean, 50)
    assert np.array_equal(np.random.random(4), expected)  # noqa: NPY002
    again = bootstrap.intervals([np.arange(6.0)[:, None]], mean, 50)
    assert np.array_equal(first["mean"].low, again["mean"].low)
    assert np.array_equal(first["mean"].high, again["mean"].high)


def test_it_stays_so_where_a_statistic_raises() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002

    def broken(x: Array) -> dict[str, Array]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), bootstrap.seeded():
        broken(np.zeros(1))
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index] # noqa: NPY002


def test_columns_are_drawn_by_themselves() -> None:
    """Runs at different lags and on different tasks are different runs: no row goes together."""
    seen = []

    def together(x: Array) -> dict[str, Array]:
        seen.append(np.array_equal(x[:, 0, 0], x[:, 1, 0]) and np.array_equal(x[:, 0, 0], x[:, 0, 1]))
        return {"mean": x.mean(axis=0)}

    bootstrap.intervals([np.broadcast_to(np.arange(20.0)[:, None, None], (20, 2, 2)).copy()], together, 20)
    assert seen[0]
    assert not any(seen[3:])  # the first three are the scores themselves


def test_arrays_may_differ_in_runs_and_statistics_in_shape() -> None:
    ticks = []

    def statistics(x: Array, y: Array) -> dict[str, Array]:
        return {"a": x.mean(axis=0), "b": np.asarray(y.mean()), "c": np.outer(x.mean(axis=0), y.mean(axis=0))}

    samples = [np.arange(6.0).reshape(3, 2), np.arange(5.0)[:, None]]
    found = bootstrap.intervals(samples, statistics, 100, lambda: ticks.append(1))
    assert {name: x.value.shape for name, x in found.items()} == {"a": (2,), "b": (), "c": (2, 1)}
    assert found["a"].value == pytest.approx([2, 3])
    assert float(found["b"].value) == 2
    assert len(ticks) >= 100
    for x in found.values():
        assert isinstance(x, Intervals)
        assert (x.low <= x.value).all()
        assert (x.value <= x.high).all()
