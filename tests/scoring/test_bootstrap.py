"""rliable's intervals, of replications drawn many at a time."""

from __future__ import annotations

import numpy as np
import pytest
from rliable import library

from lagbench.scoring import bootstrap
from lagbench.scoring.bootstrap import Array, Intervals


@pytest.fixture(params=[1, 100, 2**18])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One by one, in parts of which the last is smaller, and all together."""
    monkeypatch.setattr(bootstrap, "_AT_ONCE", request.param)


def scores(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape)


def means(*drawn: Array) -> dict[str, Array]:
    return {"mean": np.stack([x.mean(axis=(0, 1)) for x in drawn])}


@pytest.mark.usefixtures("at_once")
def test_replications_are_rliables_bit_for_bit() -> None:
    given = scores(5, 3, 2)
    with bootstrap.seeded():
        found = np.concatenate([drawn for (drawn,) in bootstrap.draws([given], 50)], axis=-1)
    with bootstrap.seeded():
        expected = [data[0] for data, _ in library.StratifiedBootstrap(given).bootstrap(50)]
    assert np.array_equal(found, np.stack(expected, axis=-1))


@pytest.mark.usefixtures("at_once")
def test_intervals_are_rliables() -> None:
    """Bit for bit where the statistic is the same to the last bit, as a mean of few numbers is."""
    given = scores(5, 3)
    with bootstrap.seeded():
        value, bounds = library.get_interval_estimates({"": given}, lambda x: x.mean(axis=0), reps=200)
    found = bootstrap.intervals([given], lambda x: {"mean": x.mean(axis=0)}, 200)["mean"]
    assert np.array_equal(found.value, value[""])
    assert np.array_equal([found.low, found.high], bounds[""])


def test_several_samples_have_rliables_intervals_but_for_the_draws() -> None:
    """Within five standard errors that a quantile of so many replications has."""
    samples, replications = [scores(6, 2), 1 + 2 * scores(4, 3)], 4000
    found = bootstrap.intervals(samples, means, replications)["mean"]
    with bootstrap.seeded():
        value, bounds = library.get_interval_estimates(
            {"": samples}, lambda *drawn: np.array([x.mean() for x in drawn]), reps=replications
        )
    spread = (bounds[""][1] - bounds[""][0]) / (2 * 1.96)
    error = spread * np.sqrt(0.025 * 0.975 / replications) / 0.0584  # that is the density at 1.96
    assert found.value == pytest.approx(value[""])
    assert (np.abs(np.stack([found.low, found.high]) - bounds[""]) < 5 * error).all()


def test_samples_are_drawn_by_themselves() -> None:
    """Alike though they are, nothing goes together."""
    alike = scores(30, 1)
    with bootstrap.seeded():
        ((one, other),) = bootstrap.draws([alike, alike], 200)
    assert abs(np.corrcoef(one.mean(axis=(0, 1)), other.mean(axis=(0, 1)))[0, 1]) < 0.3


def test_the_global_generator_stays_as_it_was() -> None:
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.random(4)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    first = bootstrap.intervals([np.arange(6.0)[:, None]], means, 50)
    assert np.array_equal(np.random.random(4), expected)  # noqa: NPY002
    again = bootstrap.intervals([np.arange(6.0)[:, None]], means, 50)
    assert np.array_equal(first["mean"].low, again["mean"].low)
    assert np.array_equal(first["mean"].high, again["mean"].high)


def test_it_stays_so_where_a_statistic_raises() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index] # noqa: NPY002

    def broken(x: Array) -> dict[str, Array]:
        if x.shape[-1] > 1:
            raise ZeroDivisionError
        return {"": x[0, 0]}

    with pytest.raises(ZeroDivisionError):
        bootstrap.intervals([np.zeros((3, 1))], broken, 50)
    assert np.array_equal(np.random.get_state()[1], before)  # type: ignore[index] # noqa: NPY002


def test_columns_are_drawn_by_themselves() -> None:
    """Runs at different lags and on different tasks are different runs: no row goes together."""
    rows = np.broadcast_to(np.arange(20.0)[:, None, None], (20, 2, 2))
    with bootstrap.seeded():
        ((drawn,),) = bootstrap.draws([rows], 20)
    for other in (drawn[:, 1, 0], drawn[:, 0, 1]):
        assert not (drawn[:, 0, 0] == other).all(axis=0).any()


def test_arrays_may_differ_in_runs_and_statistics_in_shape() -> None:
    def statistics(x: Array, y: Array) -> dict[str, Array]:
        one, other = x.mean(axis=0), y.mean(axis=0)
        return {"a": one, "b": other[0], "c": one[:, None] * other}

    samples = [np.arange(6.0).reshape(3, 2), np.arange(5.0)[:, None]]
    found = bootstrap.intervals(samples, statistics, 100)
    assert {name: x.value.shape for name, x in found.items()} == {"a": (2,), "b": (), "c": (2, 1)}
    assert found["a"].value == pytest.approx([2, 3])
    assert float(found["b"].value) == 2
    for x in found.values():
        assert isinstance(x, Intervals)
        assert (x.low <= x.value).all()
        assert (x.value <= x.high).all()
