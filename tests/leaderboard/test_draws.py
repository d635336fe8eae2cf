"""What a verifier draws can be drawn again by anybody, and by nobody before."""

import hashlib

import pytest

from lagbench import UsageError
from lagbench.leaderboard import draws

SUBMISSION, NONCE, RUN = "01" * 32, "fe" * 32, "runs/Hopper-v5/lag0-u8-seed0"


def test_seeds_are_the_first_bits_of_a_hash() -> None:
    seeds = draws.seeds(SUBMISSION, NONCE, RUN, 300)
    for j in (0, 1, 299):
        digest = hashlib.sha256(
            b"\x01" * 32 + b"\xfe" * 32 + RUN.encode() + bytes([0, 0, j // 256, j % 256])
        ).hexdigest()
        assert seeds[j] == int(digest[:8], 16) // 2
    # As `printf … | sha256sum` has it.
    assert seeds[0] == 1570378933
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert max(seeds) > 2**30
    assert len(set(seeds)) == 300


def test_they_are_of_one_submission_one_nonce_and_one_run() -> None:
    first = draws.seeds(SUBMISSION, NONCE, RUN, 4)
    assert draws.seeds(SUBMISSION, NONCE, RUN, 2) == first[:2]
    others = [("02" * 32, NONCE, RUN), (SUBMISSION, "ff" * 32, RUN), (SUBMISSION, NONCE, RUN + "0")]
    for other in others:
        assert not set(draws.seeds(*other, 4)) & set(first)


def test_a_sample_of_episodes() -> None:
    own = draws.episodes(SUBMISSION, NONCE, RUN, 10, 4)
    assert len(own) == 4
    assert sorted(set(own)) == list(own)
    assert set(own) <= set(range(10))
    assert draws.episodes(SUBMISSION, NONCE, RUN, 10, 4) == own
    # A larger one holds the smaller, and one of more than there are is all of them.
    assert set(own) < set(draws.episodes(SUBMISSION, NONCE, RUN, 10, 5))
    assert draws.episodes(SUBMISSION, NONCE, RUN, 10, 11) == tuple(range(10))
    chosen = {draws.episodes(SUBMISSION, f"{i:064x}", RUN, 10, 1) for i in range(100)}
    assert chosen == {(i,) for i in range(10)}


def test_a_nonce() -> None:
    drawn = {draws.nonce() for _ in range(10)}
    assert len(drawn) == 10
    assert all(draws.is_nonce(one) and draws.check_nonce(one) == one for one in drawn)


@pytest.mark.parametrize("text", ["", "5a", "5a" * 33, "5A" * 32, "5g" * 32, "5a" * 32 + "\n", 7, None])
def test_what_is_no_nonce(text: object) -> None:
    assert not draws.is_nonce(text)
    if isinstance(text, str):
        with pytest.raises(UsageError, match="a nonce is 64 digits of lower-case hex"):
            draws.check_nonce(text)
