"""How the values of options are read."""

from pathlib import Path

import click
import pytest

from lagbench.cli.options import ASSIGNMENT, Algorithms, OneOf


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


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ppo", ["ppo"]),
        ("ppo, vaco", ["ppo", "vaco"]),
        ("a,b/mine.py:Mine", ["a,b/mine.py:Mine"]),
        ("ppo,a,b/mine.py:Mine,a, c.py:Mine,vaco", ["ppo", "a,b/mine.py:Mine", "a, c.py:Mine", "vaco"]),
        # Where there is no such file it is a list of what will not be found.
        ("a,d/mine.py:Mine", ["a", "d/mine.py:Mine"]),
    ],
)
def test_a_path_to_an_algorithm_may_have_commas(
    text: str, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("a,b/mine.py", "a, c.py"):
        Path(file).parent.mkdir(exist_ok=True)
        Path(file).write_text("")
    assert Algorithms().convert(text, None, None) == tuple(names)


def test_a_choice_names_the_nearest() -> None:
    kind = OneOf(["uniform", "fixed"])
    assert kind.convert("fixed", None, None) == "fixed"
    with pytest.raises(click.BadParameter) as caught:
        kind.convert("unifrom", None, None)
    assert caught.value.message == "unknown value 'unifrom'; did you mean 'uniform'? Known: fixed, uniform."
