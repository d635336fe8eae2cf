"""What is one method under several names, and what is not."""

from __future__ import annotations

import pytest

from lagbench.leaderboard import clones

SOURCE = '''"""A method."""
from maths import scale  # ours


class Mine(Algorithm):
    """What it does."""

    rate = 0.5

    def loss(self, batch):
        """The loss."""
        text = "kept"
        return scale(self.rate) * helper(batch), text


def helper(batch):
    return Mine.rate
'''


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Mine", "Yours"),
        ("helper(batch)", "assistant(batch)"),
        ("  # ours", ""),
        ('"""The loss."""\n        ', ""),
        ('"""A method."""', '"""Something quite new."""\n# Really.'),
        ("\n\n\n", "\n\n\n\n\n"),
        ("    ", "  "),
        ("scale(self.rate) * helper", "scale(\n            self.rate\n        ) * helper"),
    ],
)
def test_the_same_under_another_name(before: str, after: str) -> None:
    assert before in SOURCE
    other = {"yours.py": SOURCE.replace(before, after)}
    assert clones.fingerprint(other) == clones.fingerprint({"mine.py": SOURCE})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("0.5", "0.6"),
        ("rate", "speed"),
        ("def loss", "def prepare"),
        ('"kept"', '"lost"'),
        ("import scale", "import shift"),
    ],
)
def test_another_method(before: str, after: str) -> None:
    other = {"mine.py": SOURCE.replace(before, after)}
    assert clones.fingerprint(other) != clones.fingerprint({"mine.py": SOURCE})


def test_of_all_modules_in_whatever_order() -> None:
    one = clones.fingerprint({"a.py": "x = 1\n", "b.py": "y = 2\n"})
    assert one == clones.fingerprint({"c.py": "y = 2\n", "d.py": "x = 1\n"})
    assert one != clones.fingerprint({"a.py": "x = 1\n"})


@pytest.mark.parametrize("text", ["", "(", '"""', "\tx\n  y\n", "\x00", "\ud800", "(" * 10_000, "-" * 100_000 + "1"])
def test_what_is_not_python_stands_for_itself(text: str) -> None:
    assert clones.fingerprint({"a.py": text}) == clones.fingerprint({"b.py": text})
    assert clones.fingerprint({"a.py": text}) != clones.fingerprint({"a.py": SOURCE})


CELL, OTHER = ("Hopper-v5", 0, 0), ("Hopper-v5", 0, 1)


def test_results_that_agree_beyond_chance() -> None:
    one = {CELL: (1.0, 10.5, 20.25), OTHER: (1.5, 11.5, 21.25)}
    assert clones.agree(one, one)
    # One of four is another: as on another machine, in the end.
    assert clones.agree(one, {**one, OTHER: (1.5, 11.5, 22.0)})
    # Half is not most.
    assert not clones.agree(one, {**one, OTHER: (1.5, 12.0, 22.0)})
    assert not clones.agree(one, {CELL: (1.0, 10.6, 20.0), OTHER: (1.5, 11.6, 21.0)})


def test_the_untrained_policy_and_the_largest_return_are_everybodys() -> None:
    one = {CELL: (20.0, 300.0, 1000.0), OTHER: (21.0, 400.0, 1000.0)}
    other = {CELL: (20.0, 500.0, 1000.0), OTHER: (21.0, 600.0, 1000.0)}
    assert not clones.agree(one, other)
    assert not clones.agree({CELL: (1.0, 2.0)}, {CELL: (1.0, 2.0)})  # too little to say
    assert not clones.agree(one, {})
