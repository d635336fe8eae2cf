"""Every stream comes from the run's seed alone, and no two share anything."""

import numpy as np
import pytest
import torch

from lagbench.seeding import DRAWN, Stream, drawn, environment_seeds, generator, sequence, torch_generator


def test_a_stream_can_be_drawn_again_by_anybody() -> None:
    # The recipe of the record format, written out: whoever checks a record needs NumPy and nothing of ours.
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(7, spawn_key=(2, 31)))).integers(0, 9, 20)
    assert generator(7, Stream.STALENESS, 31).integers(0, 9, 20).tolist() == expected.tolist()


def test_the_numbers_of_the_streams_never_change() -> None:
    numbers = {
        "WEIGHTS": 0,
        "ENVIRONMENT": 1,
        "STALENESS": 2,
        "ACTION": 3,
        "MINIBATCH": 4,
        "WARMUP_ENVIRONMENT": 5,
        "WARMUP_ACTION": 6,
        "EVALUATION": 7,
        "EVALUATION_ACTION": 8,
    }
    assert {s.name: int(s) for s in Stream}.items() >= numbers.items()
    assert len({int(s) for s in Stream}) == len(Stream)


def test_streams_share_nothing() -> None:
    names = [(seed, stream, *key) for seed in range(5) for stream in Stream for key in ((), (0,), (1,), (0, 1), (1, 0))]
    states = {tuple(sequence(*name).generate_state(4).tolist()) for name in names}
    assert len(states) == len(names)


def test_torch_draws_come_from_the_stream_and_not_from_the_global_state() -> None:
    torch.manual_seed(1)
    first = torch.randn(4, generator=torch_generator(3, Stream.WEIGHTS))
    torch.manual_seed(2)
    assert torch.equal(first, torch.randn(4, generator=torch_generator(3, Stream.WEIGHTS)))
    for other in (
        torch_generator(4, Stream.WEIGHTS),
        torch_generator(3, Stream.ACTION),
        torch_generator(3, Stream.WEIGHTS, 0),
    ):
        assert not torch.equal(first, torch.randn(4, generator=other))


@pytest.mark.parametrize("n", [1, 64, 1000])
def test_environment_seeds_are_what_envpool_takes(n: int) -> None:
    seeds = environment_seeds(5, Stream.ENVIRONMENT, n)
    assert seeds.dtype == np.int32
    assert seeds.shape == (n,)
    assert (seeds >= 0).all()
    assert len(np.unique(seeds)) == n
    assert seeds.tolist() == environment_seeds(5, Stream.ENVIRONMENT, n).tolist()


def test_nearby_runs_share_no_environment() -> None:
    # EnvPool itself would give env i seed + i, and then run 1 would repeat 63 of run 0's 64 environments.
    drawn = np.concatenate(
        [environment_seeds(run, s, 64) for run in range(50) for s in (Stream.ENVIRONMENT, Stream.WARMUP_ENVIRONMENT)]
    )
    assert len(np.unique(drawn)) == len(drawn)


def test_drawn_seeds_follow_from_a_text_and_are_none_of_a_suites_own() -> None:
    """The first worked out with sha256sum: 2³² + the first 8 bytes of SHA-256 of ``key 0``, modulo 2⁶³ − 2³²."""
    assert drawn("key", 1) == [5_308_721_290_736_938_594]
    found = drawn("key", 100)
    assert found[:10] == drawn("key", 10)
    assert len({*found, *drawn("other", 100)}) == 200
    assert all(DRAWN <= seed < 2**63 for seed in found)
