"""One sentence for the user, with the nearest known name and an exit code."""

import pytest

from lagbench import errors
from lagbench.errors import LagbenchError, UsageError, nearest, unknown


def test_an_unknown_name_is_told_with_the_nearest_and_all_there_are() -> None:
    error = unknown("task", "Hoper-v5", ["Walker2d-v5", "Hopper-v5"])
    assert type(error) is UsageError
    assert str(error) == "unknown task 'Hoper-v5'; did you mean 'Hopper-v5'? Known: Hopper-v5, Walker2d-v5."


def test_where_nothing_is_near_the_list_alone_is_given() -> None:
    assert str(unknown("task", "zzz", {"b": 1, "a": 2})) == "unknown task 'zzz'. Known: a, b."
    assert str(unknown("task", "zzz", [])) == "unknown task 'zzz'."


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("hopper-v5", "Hopper-v5"),  # case counts for nothing
        ("HALFCHEETAH", "HalfCheetah-v5"),
        ("Hopper-v3", "Hopper-v5"),
        ("halfcheeta", "HalfCheetah-v5"),
        ("q", None),
        ("", None),
    ],
)
def test_nearest(name: str, near: str | None) -> None:
    assert nearest(name, ["Hopper-v5", "HalfCheetah-v5"]) == near


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("LagbenchError", 1),
        ("MismatchError", 1),
        ("RecordError", 1),
        ("UsageError", 2),
        ("AlgorithmError", 2),
        ("UpdateLimitError", 2),
        ("DivergedError", 3),
    ],
)
def test_exit_codes(name: str, code: int) -> None:
    cls = getattr(errors, name)
    assert issubclass(cls, LagbenchError)
    assert cls.exit_code == code


def test_a_diverged_error_says_what() -> None:
    error = errors.DivergedError("the loss")
    assert error.what == "the loss"
    assert str(error) == "the loss is not finite"
