"""The model of an engine: schedules worked out by hand, and limits that have a closed form."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lagbench.lag.queueing import PRESETS, Engine, Options, Played, durations
from lagbench.lag.staleness import by_step, draw, settled
from lagbench.protocol import Protocol
from lagbench.seeding import Stream, generator
from tests.refusals import refusal


def schedule(times: list[float], phases: int, **engine: Any) -> list[list[tuple[int, int]]]:
    """(generator, version) of every segment of the first batches; ``times`` in the order in which segments begin."""
    batches = Engine(**engine).batches(iter(times).__next__)
    return [[(segment.generator, segment.version) for segment in batch] for batch in itertools.islice(batches, phases)]


def lags(n: int, times: Any = "constant", sigma: float = 0.5, seed: int = 0, **engine: Any) -> NDArray[np.int64]:
    """Lags [n, batch] of the first n batches."""
    drawn = durations(times, sigma, 1e9, np.random.default_rng(seed))
    batches = itertools.islice(Engine(**engine).batches(drawn), n)
    return np.array([[phase - segment.version for segment in batch] for phase, batch in enumerate(batches)])


def test_without_a_queue_whoever_is_done_waits() -> None:
    """The learner takes at 2, 5, 6.5 and 8; versions 1, 2 and 3 are there at 3.5, 6.5 and 8.

    Both begin at 0; the second pair at 2, with version 0 still, is done at 5 and 3; the third begins at 5 with version
    1, is done at 6 and waits until 6.5; the fourth begins then, with version 2, and waits from 7.5 to 8.
    """
    found = schedule([1, 2, 3, 1, 1, 1, 1, 1, 1, 1], 4, generators=2, batch=2, capacity=0, learner=1.5)
    assert found == [[(0, 0), (1, 0)], [(1, 0), (0, 0)], [(0, 1), (1, 1)], [(0, 2), (1, 2)]]


def test_what_is_published_while_a_segment_is_under_way_is_told_with_its_share() -> None:
    """As above: of the second pair, 0 works from 2 to 5 and sees version 1 at half of it; 1 works from 2 to 3."""
    engine = Engine(generators=2, batch=2, capacity=0, learner=1.5)
    batches = itertools.islice(engine.batches(iter([1, 2, 3, 1, 1, 1, 1, 1, 1, 1]).__next__), 4)
    assert [[tuple(s.published) for s in batch] for batch in batches] == [
        [(), ()],
        [(), ((0.5, 1),)],
        [(), ()],
        [(), ()],
    ]


def test_bounded_by_0_is_synchronous() -> None:
    assert not lags(20, "lognormal", generators=4, batch=4, capacity=9, learner=1.0, admission="bounded", eta=0).any()


def test_what_is_too_old_is_dropped() -> None:
    """Phase 0 is taken at 1. Version 1 comes at 2; what generators 0 and 2 began before it is dropped then and at 2.5.

    Both begin anew at 2.5, with version 1, and are taken at 3.5; generator 1 works from 1 to 4.
    """
    times = [1, 1, 2.5, 0.5, 3, 1, 1, 1, 9, 9]
    found = schedule(times, 2, generators=3, batch=2, capacity=10, learner=1.0, admission="drop", eta=0)
    assert found == [[(0, 0), (1, 0)], [(0, 1), (2, 1)]]


def test_one_of_each_waits_for_the_slowest() -> None:
    """Generator 0 puts at 0.4, 0.8, 1.2, 1.6 and 2, generator 1 at 1 and 2; the first of the line would be all 0's."""
    times = [0.4, 1, 0.4, 0.4, 1, 0.4, 0.4, 9, 9]
    engine = {"generators": 2, "batch": 2, "capacity": 8, "learner": 0.5}
    assert schedule(times, 2, **engine, take="each") == [[(0, 0), (1, 0)], [(0, 0), (1, 0)]]
    assert schedule([0.4, 1, 0.4, 0.4, *[1] * 9], 1, **engine) == [[(0, 0), (0, 0)]]


@pytest.mark.parametrize("learner", [0.0, 0.4, 2.5])
def test_without_a_queue_lag_is_0_or_1(learner: float) -> None:
    """0 only where updates take no time; else what is made during an update is one version old."""
    found = lags(30, generators=4, batch=4, capacity=0, learner=learner)
    assert (found[1:] == (learner > 0)).all()
    assert not found[0].any()


@pytest.mark.parametrize(("generators", "capacity"), [(1, 0), (1, 5), (3, 2)])
def test_a_slow_learner_finds_everything_full(generators: int, capacity: int) -> None:
    """A segment waits for all that was begun before it: as many batches as generators and queue hold."""
    found = lags(100, generators=4 * generators, batch=4, capacity=4 * capacity, learner=1.5)
    assert (found[40:] == generators + capacity).all()


@pytest.mark.parametrize("eta", [1, 8])
def test_a_slow_learner_is_as_far_behind_as_areals_rule_allows(eta: int) -> None:
    """(η + v + 1) batches are begun when version v is published, and v + 1 of them are taken then: η are under way."""
    engine: dict[str, Any] = {"generators": 4 * (eta + 1), "batch": 4, "capacity": 4 * (eta + 1), "learner": 1.5}
    found = lags(100, **engine, admission="bounded", eta=eta)
    assert (found[40:] == eta).all()


@pytest.mark.parametrize("generators", [1, 10])
def test_a_fast_learner_sees_a_geometric_lag(generators: int) -> None:
    """Updates take no time, a batch is a segment, and times are exponential with mean 1.

    Others end as a Poisson process of rate G−1 while one is under way: P(lag = n) = (1/G)·((G−1)/G)^n.
    """
    n = 20_000
    found = lags(n, "length", generators=generators, batch=1, capacity=100, learner=0.0)[200:]
    expected = (1 - 1 / generators) ** np.arange(30) / generators
    share = np.bincount(found.ravel(), minlength=30)[:30] / found.size
    assert np.abs(share - expected).max() < 5 * math.sqrt(0.25 / n)


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_one_generator_and_updates_of_constant_time_are_an_m_d_1_queue(load: float) -> None:
    """Pollaczek and Khinchine: L = ρ + ρ²/(2(1−ρ)) are in the system, at a departure as at any time.

    A publication leaves L behind in the mean, and finds one more under way: the mean lag is 1 + L.
    """
    found = lags(40_000, "length", generators=1, batch=1, capacity=10_000, learner=load)[1000:]
    mean = 1 + load + load**2 / (2 * (1 - load))
    assert abs(found.mean() / mean - 1) < 0.04


@pytest.mark.parametrize("times", ["constant", "lognormal", "length"])
def test_times_are_1_in_the_mean(times: Any) -> None:
    rng = np.random.default_rng(1)
    drawn = np.array([durations(times, 0.7, 2.0, rng)() for _ in range(20_000)])
    assert abs(drawn.mean() - 1) < 0.03
    assert drawn.min() > 0
    if times == "length":
        assert drawn.max() == pytest.approx(2 / (1 - math.exp(-2)))  # cut at two mean lengths


def test_a_generator_never_goes_back_to_an_older_version() -> None:
    for name, preset in PRESETS.items():
        options = Options(**preset)
        played = Played(options, 16, generator(3, Stream.STALENESS))
        held: dict[int, int] = {}
        for segment in itertools.chain(*itertools.islice(played._batches, 100)):
            assert segment.version >= held.get(segment.generator, 0), name
            held[segment.generator] = segment.version


def protocol(mode: str, actors: int = 16, **options: Any) -> Protocol:
    return Protocol.resolve(lag_mode=mode, lag_options=options, minibatch=actors, actors=actors, phase_steps=2)


def played(p: Protocol, phases: int = 120, seed: int = 0) -> NDArray[np.int64]:
    p = settled(p, seed, phases)
    return np.array([draw(p, seed, phase) for phase in range(phases)])


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_versions_that_no_actor_goes_back_from(name: str) -> None:
    p = protocol(f"queue:{name}", actors=64)
    versions = played(p)
    assert (np.diff(versions, axis=0) >= 0).all()
    assert settled(p, 0, 120).lag == (np.arange(120)[:, None] - versions).max()
    # And they are, but for what would go back, those that the engine takes.
    engine = Played(Options(**p.lag_options), 64, generator(0, Stream.STALENESS))._batches
    taken = np.array([[segment.version for segment in batch] for batch in itertools.islice(engine, 120)])
    ages = [
        np.bincount((np.arange(120)[:, None] - v).ravel(), minlength=99).cumsum() / v.size for v in (versions, taken)
    ]
    assert np.abs(ages[0] - ages[1]).max() < 0.03


def test_cleanba_is_always_one_behind() -> None:
    versions = played(protocol("queue:cleanba"))
    assert (versions == np.maximum(np.arange(120) - 1, 0)[:, None]).all()


def test_a_seed_gives_one_schedule_in_any_order_of_asking() -> None:
    p = settled(protocol("queue:areal-4"), 5, 60)
    asked = [draw(p, 5, phase).tolist() for phase in (50, 3, 20)]
    again = Played(Options(**p.lag_options), 16, generator(5, Stream.STALENESS))
    assert asked == [again(phase).tolist() for phase in (50, 3, 20)]
    assert asked != [draw(p, 6, phase).tolist() for phase in (50, 3, 20)]


def test_in_flight_a_version_replaces_what_is_under_way() -> None:
    """Segments of phase p ≥ 1 begin with version p−1; p is published at half of their time: at steps 2.5 and 2."""
    p = protocol("queue", learner=0.5, inflight=True)
    for phase in (1, 7):
        for steps, before in ((5, 3), (4, 2)):
            held = by_step(settled(p, 0, 8), 0, phase, steps)
            assert held.tolist() == [[phase - 1] * 16] * before + [[phase] * 16] * (steps - before)
    p = protocol("queue:areal-4", inflight=True)
    q = settled(p, 3, 60)
    assert (played(p, 60, 3) == played(protocol("queue:areal-4"), 60, 3)).all()
    held = np.array([by_step(q, 3, phase, 20) for phase in range(60)])
    assert (held[:, 0] == played(p, 60, 3)).all()
    assert (np.diff(held, axis=1) >= 0).all()
    assert (held <= np.arange(60)[:, None, None]).all()
    assert (held[20:, 0] < held[20:, -1]).mean() > 0.5


def test_a_batch_of_few_segments_fills_equal_parts() -> None:
    versions = played(protocol("queue", batch=2, times="lognormal", capacity=1, learner=1.4))
    parts = versions.reshape(120, 2, 8)
    assert (parts == parts[:, :, :1]).all()
    assert (parts[:, 0, 0] != parts[:, 1, 0]).any()


@pytest.mark.parametrize(
    ("mode", "options", "sentence"),
    [
        (
            "queue:areal",
            {},
            "unknown engine 'areal'; did you mean 'areal-8'? Known: areal-4, areal-8, cleanba, impala.",
        ),
        (
            "queue",
            {"batch": 3},
            "16 actors cannot be divided evenly among a batch of 3 segments; give a batch that",
        ),
        (
            "queue",
            {"generators": 0.5, "capacity": 0.25},
            "a batch of 16 segments is never complete, because 8 generators",
        ),
        (
            "queue",
            {"take": "each", "generators": 2},
            "the learner cannot take one segment of each generator, 32 of them",
        ),
        ("queue", {"capacity": -1}, "capacity must be in [0, 1000], not -1"),
        ("queue", {"times": "normal"}, "unknown times value 'normal'; did you mean 'lognormal'? Known: constant, "),
        ("queue", {"capcity": 1}, "unknown option of the lag mode queue 'capcity'; did you mean 'capacity'?"),
    ],
)
def test_what_is_no_engine_is_refused(mode: str, options: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(lambda: played(protocol(mode, **options)))
