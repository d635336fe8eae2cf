"""Over a large vocabulary memory is that of some logits, not of all: measured, in a process of its own."""

from __future__ import annotations

from benchmarks import memory


def test_the_peak_is_that_of_a_few_logits() -> None:
    """Of 8 × 128 tokens over 151,936 words: 594 MiB, several times over; here six times 38, a fourth of 154."""
    found = memory.cost(completions=8, tokens=128, vocabulary=151_936, width=4, room=3.0)
    assert found.passes == 1
    assert 0 < found.mib < 400
    assert found.seconds > 0
