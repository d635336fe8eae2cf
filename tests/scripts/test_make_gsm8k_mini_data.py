"""Mistaken solutions, by hand."""

from __future__ import annotations

import pytest

from scripts.make_gsm8k_mini_data import mistaken


@pytest.mark.parametrize(
    ("last", "answer", "wrong", "found"),
    [
        ("Right now Mary is 84-7=77 years old.", 77, "Right now Mary is 84+7=91 years old.", 91),
        ("It will last for 75/15 = 5 days.", 5, "It will last for 75-15 = 60 days.", 60),
        ("They eat 20 * 30 = 600 tacos.", 600, "They eat 20 + 30 = 50 tacos.", 50),
        # A difference that would be below 0 is taken the other way round.
        ("He has 3+12=15 tubes of paint", 15, "He has 12-3=9 tubes of paint", 9),
        ("There are 29-3-6 = 20 bricks", 20, "There are 29+3+6 = 38 bricks", 38),
        # Units between the numbers, and a result that is said before it is computed.
        ("There were 29 boys - 3 absent = 26 boys.", 26, "There were 29 boys + 3 absent = 32 boys.", 32),
        ("It is 102 minutes because 51 x 2 = 102", 102, "It is 53 minutes because 51 + 2 = 53", 53),
    ],
)
def test_the_last_step_takes_another_operation(last: str, answer: int, wrong: str, found: int) -> None:
    assert mistaken(f"First 4*5=20.\n{last}\n#### {answer}") == f"First 4*5=20.\n{wrong}\n#### {found}"


def test_a_step_without_an_operation() -> None:
    with pytest.raises(ValueError, match="unpack"):
        mistaken("It is so.\n#### 3")
