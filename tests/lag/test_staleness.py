"""Who holds which version: in bounds, uniform or fixed, and drawn again by anybody from the seed."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagbench.lag.staleness import draw
from lagbench.protocol import Protocol


def protocol(lag: int, lag_mode: Any = "uniform", actors: int = 64) -> Protocol:
    return Protocol.resolve(lag=lag, lag_mode=lag_mode, minibatch=actors, actors=actors, phase_steps=2)


@given(
    st.integers(0, 70),
    st.integers(0, 200),
    st.integers(1, 70),
    st.integers(0, 2**64),
    st.sampled_from(["uniform", "fixed"]),
)
def test_only_versions_that_are_there_and_not_too_old(lag: int, phase: int, actors: int, seed: int, mode: str) -> None:
    versions = draw(protocol(lag, mode, actors), seed, phase)
    assert versions.shape == (actors,)
    assert versions.dtype == np.int64
    assert (versions >= max(0, phase - lag)).all()
    assert (versions <= phase).all()


@pytest.mark.parametrize("lag", [0, 1, 8])
def test_fixed_is_the_lag_itself_once_there_are_versions_so_old(lag: int) -> None:
    for phase in range(30):
        staleness = phase - draw(protocol(lag, "fixed"), 0, phase)
        assert (staleness == min(phase, lag)).all()


def test_no_lag_is_the_learner_itself() -> None:
    for mode in ("uniform", "fixed"):
        assert (draw(protocol(0, mode), 3, 17) == 17).all()


@pytest.mark.parametrize("lag", [1, 8, 31])
def test_uniform_is_uniform_over_all_staleness_from_0_to_the_lag(lag: int) -> None:
    p = protocol(lag)
    staleness = np.concatenate([phase - draw(p, 5, phase) for phase in range(lag, lag + 1000)])
    n, levels = len(staleness), lag + 1
    # Five standard errors: the seed is fixed, and for one in two million seeds this would fail.
    spread = np.sqrt((levels**2 - 1) / 12)
    assert abs(staleness.mean() - lag / 2) < 5 * spread / np.sqrt(n)
    share = np.bincount(staleness, minlength=levels) / n
    assert len(share) == levels
    assert (np.abs(share - 1 / levels) < 5 * np.sqrt((1 - 1 / levels) / levels / n)).all()
    # Each actor draws for itself, anew in every phase: neither neighbours nor phases go together.
    grid = staleness.reshape(1000, -1) - lag / 2
    for a, b in ((grid[1:], grid[:-1]), (grid[:, 1:], grid[:, :-1])):
        assert abs((a * b).mean()) < 5 * spread**2 / np.sqrt(a.size)


def test_before_the_buffer_is_full_the_draw_is_uniform_over_what_there_is() -> None:
    p = protocol(8, actors=4000)
    assert (draw(p, 0, 0) == 0).all()
    counts = np.bincount(draw(p, 0, 3), minlength=4)
    assert (np.abs(counts - 1000) < 5 * np.sqrt(750)).all()


def test_the_draw_can_be_checked_by_anybody_from_the_seed_and_the_phase() -> None:
    drawn = draw(protocol(8), 11, 40)
    stream = np.random.Generator(np.random.PCG64(np.random.SeedSequence(11, spawn_key=(2, 40))))
    assert drawn.tolist() == stream.integers(32, 40, endpoint=True, size=64).tolist()
    assert drawn.tolist() != draw(protocol(8), 12, 40).tolist()
    assert (40 - drawn).tolist() != (41 - draw(protocol(8), 11, 41)).tolist()
