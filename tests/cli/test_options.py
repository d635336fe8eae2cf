"""How the values of options are read."""

import click
import pytest

from lagbench.cli.options import ASSIGNMENT, INTEGER, OneOf


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1M", 10**6), ("300k", 300_000), ("1e6", 10**6), ("1_000_000", 10**6), ("1.5k", 1500), ("-2", -2)],
)
def test_whole_numbers_as_people_write_them(text: str, value: int) -> None:
    assert INTEGER.convert(text, None, None) == value
    assert INTEGER.convert(value, None, None) == value


@pytest.mark.parametrize("text", ["", "x", "1.5", "1e400", "nan", "inf", "1 M x", "0x10"])
def test_what_is_no_whole_number(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a whole number"):
        INTEGER.convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("delta=0.1", ("delta", "0.1")),
        ("a=", ("a", "")),
        ("path=x=y", ("path", "x=y")),
        (" delta = 0.1 ", ("delta", "0.1")),
    ],
)
def test_assignments(text: str, pair: tuple[str, str]) -> None:
    assert ASSIGNMENT.convert(text, None, None) == pair
    assert ASSIGNMENT.convert(pair, None, None) == pair


@pytest.mark.parametrize("text", ["", "delta", "=3", " =3"])
def test_what_is_no_assignment(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not of the form name=value"):
        ASSIGNMENT.convert(text, None, None)


def test_a_choice_names_the_nearest() -> None:
    kind = OneOf(["uniform", "fixed"])
    assert kind.convert("fixed", None, None) == "fixed"
    with pytest.raises(click.BadParameter) as caught:
        kind.convert("unifrom", None, None)
    assert caught.value.message == "unknown value 'unifrom'; did you mean 'uniform'? Known: fixed, uniform."
