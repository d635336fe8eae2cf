"""What is filled in, what is refused, and what a refusal names."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagbench.errors import UsageError
from lagbench.protocol import DEFAULT_EPOCHS, Protocol
from tests.refusals import refusal


def resolve(**changes: Any) -> Protocol:
    return Protocol.resolve(**{"minibatch": 256, "actors": 64, "phase_steps": 32, **changes})


def test_reuse_makes_ten_epochs_unless_told_otherwise() -> None:
    p = resolve()
    assert (p.samples, p.epoch_updates, p.updates) == (2048, 8, 8 * DEFAULT_EPOCHS)
    assert (p.lag, p.lag_mode, p.forward, p.updates_fixed) == (0, "uniform", "reuse", False)
    assert resolve(updates=24).updates == 24


def test_reuse_collects_one_minibatch_unless_told_otherwise() -> None:
    p = resolve(actors=64, minibatch=256, phase_steps=None)
    assert (p.phase_steps, p.samples, p.updates) == (4, 256, 10)


def test_split_takes_its_steps_from_updates_and_minibatch() -> None:
    p = resolve(forward="split", minibatch=128, updates=3, phase_steps=None)
    assert (p.phase_steps, p.samples, p.epoch_updates, p.updates) == (6, 384, 3, 3)
    assert resolve(forward="split", minibatch=128, phase_steps=None).updates == 1
    # The very number may be given, as a protocol read from JSON does.
    assert resolve(forward="split", minibatch=128, updates=3, phase_steps=6) == p


def test_the_cap_is_the_algorithms_own_updates_where_the_protocol_leaves_it_the_choice() -> None:
    free = resolve(updates=80)
    assert [free.update_cap(own) for own in (None, 8, 80, 81)] == [80, 8, 80, 80]
    fixed = resolve(updates=80, updates_fixed=True)
    assert [fixed.update_cap(own) for own in (None, 8, 80, 81)] == [80] * 4
    split = resolve(forward="split", minibatch=128, updates=3, phase_steps=None)
    assert split.updates_fixed
    assert split.update_cap(1) == 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lag": -1}, "lag must be in [0, 2147483647], not -1"),
        ({"minibatch": 0}, "minibatch must be in [1, 2147483647], not 0"),
        ({"actors": 0}, "actors must be in [1, 2147483647], not 0"),
        ({"updates": -8}, "updates must be in [1, 2147483647], not -8"),
        ({"phase_steps": 0}, "phase_steps must be in [1, 2147483647], not 0"),
        # Beyond what the columns hold: what is given, and what follows from it.
        ({"lag": 2**31}, "lag must be in [0, 2147483647], not 2147483648"),
        ({"actors": 2**31 - 1}, "the samples of a phase must be in [1, 2147483647], not 68719476704"),
        ({"minibatch": 2, "actors": 2, "phase_steps": 2**29}, "updates must be in [1, 2147483647], not 5368709120"),
        (
            {"minibatch": 2**31 - 1, "updates": 2, "forward": "split", "actors": 1, "phase_steps": None},
            "phase_steps must be in [1, 2147483647], not 4294967294",
        ),
        ({"lag": "x"}, "lag must be a whole number in [0, 2147483647], not 'x'"),
        ({"lagg": 1}, "unknown option 'lagg'; did you mean 'lag'? Known: actors, "),
        # All actors may be reset at once: a phase of one step could be nothing else.
        ({"phase_steps": 1, "minibatch": 64}, "an actor must take at least 2 steps per phase, not 1"),
        (
            {"forward": "split", "minibatch": 64, "phase_steps": None},
            "an actor must take at least 2 steps per phase, not 1",
        ),
        (
            {"minibatch": 300},
            "a phase's 2048 samples cannot be divided into minibatches of 300; the nearest that can are 256 and 512",
        ),
        ({"minibatch": 4096}, "cannot be divided into minibatches of 4096; the nearest that can is 2048"),
        ({"updates": 20}, "20 updates are not possible"),
        (
            {"updates": 20},
            "whole epochs of 8 minibatches (2048 samples / 256); the nearest are 16 or 24",
        ),
        ({"updates": 3}, "the nearest are 8 or 16"),
        (
            {"forward": "split", "minibatch": 100, "updates": 3, "phase_steps": None},
            "= 300 samples a phase, which 64 actors cannot divide evenly; choose a minibatch that 64 divides",
        ),
        (
            {"forward": "split", "minibatch": 128, "updates": 3, "phase_steps": 32},
            "in split mode the phase's steps follow from updates × minibatch: 6 an actor",
        ),
        (
            {"hidden": (64, 0)},
            "hidden must name at least one layer of at least 1 unit, such as 64,64; not [64, 0]",
        ),
        ({"hidden": ()}, "at least one layer of at least 1 unit, such as 64,64; not []"),
        ({"hidden": 64}, "hidden must be whole numbers, not 64"),
        ({"hidden": "64,x"}, "hidden must be a whole number, not 'x'"),
        ({"lag_mode": "unifrom"}, "unknown lag mode 'unifrom'; did you mean 'uniform'? Known: asynchronous, "),
        ({"forward": "resue"}, "unknown forward value 'resue'; did you mean 'reuse'? Known: reuse, split."),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in refusal(resolve, **changes)


def test_hidden_layers_are_said_only_where_they_are_not_the_default() -> None:
    """Specifications from before there was a choice are equal to those of today."""
    usual, wide = resolve(), resolve(hidden=[256, 256, 32])
    assert usual == resolve(hidden=(64, 64))
    assert usual.hidden == (64, 64)
    assert "hidden" not in usual.to_json()
    assert wide == resolve(hidden="256,256,32")
    assert wide.hidden == (256, 256, 32)
    assert wide.to_json()["hidden"] == [256, 256, 32]
    assert Protocol(**json.loads(json.dumps(wide.to_json()))) == wide


@given(
    actors=st.integers(1, 70),
    steps=st.integers(1, 70),
    minibatch=st.integers(1, 3000),
    updates=st.none() | st.integers(1, 3000),
    lag=st.integers(0, 100),
    lag_mode=st.sampled_from(["uniform", "fixed"]),
    forward=st.sampled_from(["reuse", "split"]),
    fixed=st.booleans(),
)
def test_every_protocol_adds_up_and_goes_through_json(
    actors: int, steps: int, minibatch: int, updates: int | None, lag: int, lag_mode: Any, forward: Any, fixed: bool
) -> None:
    try:
        p = Protocol.resolve(
            lag=lag,
            lag_mode=lag_mode,
            updates=updates,
            updates_fixed=fixed,
            forward=forward,
            minibatch=minibatch,
            actors=actors,
            phase_steps=steps if forward == "reuse" else None,
        )
    except UsageError:
        return
    assert p.samples == p.epoch_updates * p.minibatch
    assert p.updates % p.epoch_updates == 0
    assert p.updates == (updates or p.updates)
    if forward == "split":
        assert p.updates == p.epoch_updates
        assert p.updates_fixed
    assert Protocol(**json.loads(json.dumps(p.to_json()))) == p
    assert Protocol.resolve(**p.to_json()) == p


@given(actors=st.integers(1, 20), steps=st.integers(1, 20), minibatch=st.integers(1, 500))
def test_the_minibatches_that_a_refusal_names_can_be_had(actors: int, steps: int, minibatch: int) -> None:
    samples = actors * steps
    if samples % minibatch == 0:
        return
    words = refusal(resolve, actors=actors, phase_steps=steps, minibatch=minibatch).partition("the nearest that can ")[
        2
    ]
    named = [int(w) for w in words.removeprefix("are ").removeprefix("is ").split(" and ")]
    divisors = [b for b in range(1, samples + 1) if samples % b == 0]
    below, above = [b for b in divisors if b < minibatch], [b for b in divisors if b > minibatch]
    assert named == below[-1:] + above[:1]


@given(minibatches=st.integers(2, 64), updates=st.integers(1, 1000))
def test_the_updates_that_a_refusal_names_can_be_made(minibatches: int, updates: int) -> None:
    sizes = {"actors": 1, "phase_steps": 2 * minibatches, "minibatch": 2}
    if updates % minibatches == 0:
        assert resolve(**sizes, updates=updates).updates == updates
        return
    words = refusal(resolve, **sizes, updates=updates).partition("the nearest ")[2]
    near = [int(w) for w in words.removeprefix("are ").split(" or ")]
    assert all(resolve(**sizes, updates=u).updates == u for u in near)
    # The epoch below and the one above; below the first epoch, the first two.
    below = max(updates // minibatches, 1) * minibatches
    assert near == [below, below + minibatches]
