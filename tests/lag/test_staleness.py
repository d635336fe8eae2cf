"""Who holds which version: in bounds, uniform or fixed, and drawn again by anybody from the seed."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagbench import registry
from lagbench.lag.staleness import draw
from lagbench.protocol import Protocol
from lagbench.records.reader import open_run
from tests.cli.run_here import SMALL, lagbench


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


def test_fixed_is_the_lag_itself_once_there_are_versions_so_old() -> None:
    for phase in range(30):
        staleness = phase - draw(protocol(8, "fixed"), 0, phase)
        assert (staleness == min(phase, 8)).all()


def test_no_lag_is_the_learner_itself() -> None:
    for mode in ("uniform", "fixed"):
        assert (draw(protocol(0, mode), 3, 17) == 17).all()


@pytest.mark.parametrize("lag", [1, 31])
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


def test_the_draws_are_those_of_every_release() -> None:
    """Literal: published runs are checked against them."""
    eight = {mode: protocol(8, mode, actors=8) for mode in ("uniform", "fixed")}
    drawn = {mode: [draw(p, 11, phase).tolist() for phase in (0, 3, 40)] for mode, p in eight.items()}
    assert drawn == {
        "uniform": [[0] * 8, [3, 0, 1, 3, 0, 1, 0, 2], [38, 39, 38, 36, 35, 36, 37, 35]],
        "fixed": [[0] * 8, [0] * 8, [32] * 8],
    }
    many = np.stack([draw(protocol(31), 7, phase) for phase in range(200)])
    digest = "374ff209970cfc411962f8592fc9834d60433a2e121e7e63f023746e870aa02d"
    assert hashlib.sha256(many.astype("<i8").tobytes()).hexdigest() == digest


# What a package installs: the file, and the two lines that name it.
MODULE = '''
from dataclasses import dataclass

import numpy as np

from lagbench.lag.base import LagMode


class Sawtooth(LagMode):
    """All actors hold the newest version of every ``period``-th phase."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        period: int = 2
        off: int = 0

    def versions(self, phase):
        return np.full(self.protocol.actors, phase - phase % self.config.period + self.config.off)


class Short(LagMode):
    def versions(self, phase):
        return np.zeros(self.protocol.actors - 1, dtype=np.int64)
'''


@pytest.fixture
def package(install: Callable[[str, str, str], None]) -> None:
    """An installed package with lag modes of its own."""
    names = "sawtooth = modes_of_mine:Sawtooth\nshort = modes_of_mine:Short\n"
    install("modes_of_mine", MODULE, f"[lagbench.lag_modes]\n{names}")


@pytest.mark.usefixtures("package")
def test_a_package_brings_a_mode_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ("run", "--lag", "2", *SMALL, "--out", out, "-q")
    done = lagbench(*arguments, "--lag-mode", "sawtooth", "--lag-set", "period=3")
    assert (done.code, done.err) == (0, "")
    run = open_run(out)
    assert run.spec.protocol.lag_options == {"period": 3, "off": 0}
    assert run.phases.to_table()["versions"].to_pylist() == [[phase - phase % 3] * 4 for phase in range(5)]
    assert run.environment[0]["packages"]["modes_of_mine"] == "1.0"
    assert lagbench("replay", out, "-q").code == 0


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            "sawtooth --lag-set off=1",
            "the lag mode sawtooth gave actor 0 policy version 1 in phase 0, where there are v",
        ),
        ("sawtooth --lag-set period=9 --lag-set off=-1", "gave actor 0 policy version -1 in phase 0, where there are"),
        ("sawtooth --lag-set period=9", "gave actor 0 policy version 0 in phase 2, where there are versions 1 to 2"),
        ("sawtooth --lag-set perod=9", "unknown option of the lag mode sawtooth 'perod'; did you mean 'period'?"),
        ("sawtooth --lag-set period=often", "period must be a whole number, not 'often'"),
        ("short", "the lag mode short gave an array (3,) of int64 in phase 0, where the 4 actors need one integer"),
        ("fixed:3", "this lag mode takes no argument after a colon, but '3' was given; leave it out"),
        ("sawtoth", "unknown lag mode 'sawtoth'; did you mean 'sawtooth'? Known: asynchronous, "),
    ],
)
def test_what_gives_no_versions_is_refused(options: str, sentence: str, tmp_path: Path) -> None:
    arguments = ("run", "--lag", "1", *SMALL, "--out", tmp_path / "run", "-q", "--lag-mode")
    done = lagbench(*arguments, *options.split())
    assert done.code == 2
    assert sentence in done.sentence


@pytest.mark.parametrize("name", sorted(registry.lag_modes()))
def test_a_mode_is_one_short_file(name: str) -> None:
    module = registry.load(registry.lag_modes()[name]).__module__
    assert len(Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8").splitlines()) <= 40
