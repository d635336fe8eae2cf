"""Hyperparameters as a user gives them, as their declared type, through JSON and back."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lagbench import registry
from lagbench.algorithm import Algorithm
from lagbench.config import INT64, Range, coerce, describe, field_types, make_config, parse_integer, parse_number
from lagbench.errors import AlgorithmError
from tests.refusals import refusal


class Config(Algorithm.Config):
    clip: float = 0.2
    share: Annotated[float, Range(gt=0, le=1)] = 0.5
    many: Annotated[int, Range(ge=2)] | None = None
    gamma: float = 0.9  # declared again for another default
    lam: Annotated[float, Range(ge=0.5)] = 0.9  # and for another range
    depth: int = 2
    name: str = "a"
    fast: bool = False
    kind: Literal["one", "two"] = "one"
    order: Literal[1, 2] | None = None
    bound: float | None = None
    title: str | None = None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1M", 1e6),
        ("300k", 3e5),
        ("2.5 k", 2500.0),
        ("1G", 1e9),
        ("1_000_000", 1e6),
        (" 0.5 ", 0.5),
        ("inf", float("inf")),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, number: float) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize("text", ["", "k", "one", "1x", "1,000", "1kk", "0x10", "--1"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - float's own words
        parse_number(text)
    with pytest.raises(ValueError):  # noqa: PT011
        parse_integer(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1M", 10**6),
        ("1e6", 10**6),
        ("1.001k", 1001),
        ("-5", -5),
        ("12345678901234567890", 12345678901234567890),
    ],
)
def test_whole_numbers(text: str, number: int) -> None:
    assert parse_integer(text) == number
    assert type(parse_integer(text)) is int


@pytest.mark.parametrize("text", ["0.5", "1.0005k", "inf", "-inf", "nan", "1e400"])
def test_what_is_not_whole(text: str) -> None:
    with pytest.raises(ValueError, match="not a whole number"):
        parse_integer(text)


@given(st.integers(0, 10**7), st.sampled_from("kMG"))
def test_a_suffix_costs_no_digit(thousandths: int, suffix: str) -> None:
    # Multiplied in binary, 1.001 × 1000 is not 1001.
    factor = {"k": 10**3, "M": 10**6, "G": 10**9}[suffix]
    assert parse_integer(f"{Decimal(thousandths) / 1000}{suffix}") == thousandths * factor // 1000


@pytest.mark.parametrize(
    ("name", "given_", "value"),
    [
        ("clip", "0.3", 0.3),
        ("clip", "1k", 1000.0),
        ("depth", "3", 3),
        ("depth", 3.0, 3),
        ("name", "none", "none"),
        ("fast", "true", True),
        ("fast", "No", False),
        ("fast", 0, False),
        ("order", "2", 2),
        ("order", 1, 1),
        ("order", "none", None),
        ("bound", None, None),
        ("bound", "0.5", 0.5),
        ("title", "none", None),
        ("share", 1, 1.0),
        ("many", "none", None),
        ("standardize", "none", "none"),  # a choice of that name is no None
    ],
)
def test_values_become_the_declared_type(name: str, given_: Any, value: Any) -> None:
    result = getattr(make_config(Config, {}, {name: given_}), name)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("name", "given_", "sentence"),
    [
        ("clip", "big", "clip must be a number, not 'big'"),
        ("clip", True, "clip must be a number, not True"),
        ("clip", "nan", "clip must be a number, not 'nan'"),
        ("share", 0, "share must be in (0, 1], not 0.0"),
        ("share", "1.01", "share must be in (0, 1], not 1.01"),
        ("share", "all", "share must be a number in (0, 1], not 'all'"),
        ("many", 2.5, "many must be a whole number at least 2 or none, not 2.5"),
        ("lam", 0.4, "lam must be at least 0.5, not 0.4"),
        ("learning_rate", -1e-3, "learning_rate must be in [0, inf), not -0.001"),
        ("max_grad_norm", 0, "max_grad_norm must be above 0, not 0.0"),
        ("clip", 10**400, "clip must be a number, not 1000"),
        ("depth", 0.5, "depth must be a whole number, not 0.5"),
        ("depth", "inf", "depth must be a whole number, not 'inf'"),
        ("depth", True, "depth must be a whole number, not True"),
        ("name", 3, "name must be text, not 3"),
        ("fast", "maybe", "fast must be true or false, not 'maybe'"),
        ("fast", 2, "fast must be true or false, not 2"),
        ("kind", "tow", "unknown kind value 'tow'; did you mean 'two'? Known: one, two."),
        ("clp", "0.1", "unknown hyperparameter 'clp'; did you mean 'clip'? Known: anneal, bound, clip, "),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(name: str, given_: Any, sentence: str) -> None:
    for preset, overrides in (({}, {name: given_}), ({name: given_}, {})):
        assert sentence in refusal(make_config, Config, preset, overrides)


def test_the_users_value_goes_before_the_presets_and_that_before_the_default() -> None:
    c = make_config(Config, {"clip": 0.5, "depth": 7}, {"clip": "0.1"})
    assert (c.clip, c.depth, c.name) == (0.1, 7, "a")


def test_a_config_is_frozen_keyword_only_and_inherits_the_harness_fields() -> None:
    c: Any = Config(clip=0.1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        c.clip = 0.2
    with pytest.raises(TypeError):
        Config(0.1)  # type: ignore[call-arg]
    assert c.value_coef == 0.5
    assert set(field_types(Config)) > set(field_types(Algorithm.Config))


@pytest.mark.parametrize(
    ("annotation", "described"),
    [
        ("list[float]", "list"),
        ("Any", "Any"),
        ("float | list[int]", "float | list[int]"),
    ],
)
def test_a_type_that_json_cannot_carry_is_the_algorithms_fault(annotation: str, described: str) -> None:
    class Bad(Algorithm.Config):
        odd: Any = None

    Bad.__annotations__["odd"] = annotation
    with pytest.raises(AlgorithmError) as caught:
        make_config(Bad, {}, {})
    assert str(caught.value) == (
        f"Config.odd has type {described}; use bool, int, float, str, a Literal, or one of them | None"
    )


def test_a_type_that_cannot_be_found_is_the_algorithms_fault() -> None:
    class Bad(Algorithm.Config):
        odd: Elsewhere = None  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(AlgorithmError, match="whose type cannot be resolved: name 'Elsewhere' is not defined"):
        make_config(Bad, {}, {})


def test_a_field_without_a_default_is_the_algorithms_fault() -> None:
    class Bad(Algorithm.Config):
        odd: float

    with pytest.raises(AlgorithmError, match=r"Config\.odd has no default; give it one"):
        make_config(Bad, {}, {})
    assert make_config(Bad, {}, {"odd": "1"}).odd == 1.0


@pytest.mark.parametrize(
    ("default", "sentence"),
    [
        (2.0, "the default of Config.odd must be in [0, 1], not 2.0"),
        ("wide", "the default of Config.odd must be a number in [0, 1], not 'wide'"),
        ("0.5", "the default of Config.odd does not match its type; change one of them"),
    ],
)
def test_a_default_that_its_field_does_not_take_is_the_algorithms_fault(default: Any, sentence: str) -> None:
    class Bad(Algorithm.Config):
        odd: Annotated[float, Range(ge=0, le=1)] = default

    with pytest.raises(AlgorithmError) as caught:
        make_config(Bad, {}, {})
    assert str(caught.value) == sentence
    assert make_config(Bad, {}, {"odd": 0.5}).odd == 0.5


@pytest.mark.parametrize("default", [[64], dataclasses.field(default=[64]), {}, {1}])
def test_a_mutable_default_costs_the_sentence_on_types(default: Any) -> None:
    with pytest.raises(AlgorithmError, match=r"Config\.layers has type (list|dict|set); use bool, int, float, str, "):

        class Bad(Algorithm.Config):
            layers: list[int] = default


@pytest.mark.parametrize(
    ("numbers", "words", "inside", "outside"),
    [
        (Range(gt=0), "above 0", [1e-300, math.inf], [0, -1]),
        (Range(ge=1), "at least 1", [1, 2**70], [0.999]),
        (Range(lt=0), "below 0", [-math.inf], [0]),
        (Range(le=2.5), "at most 2.5", [2.5], [2.6]),
        (Range(gt=0, lt=1), "in (0, 1)", [0.5], [0, 1]),
        (Range(ge=0, le=1), "in [0, 1]", [0, 1], [-1e-9, 1.0000001]),
        (Range(ge=0, lt=math.inf), "in [0, inf)", [0, 1e308], [math.inf, -math.inf]),
        (Range(ge=0, le=INT64), "in [0, 9223372036854775807]", [2**63 - 1], [2**63]),
    ],
)
def test_a_range(numbers: Range, words: str, inside: list[float], outside: list[float]) -> None:
    assert str(numbers) == words
    assert all(x in numbers for x in inside)
    assert not any(x in numbers for x in outside)


@pytest.mark.parametrize("name", sorted(registry.algorithms()))
def test_every_number_of_a_baseline_has_its_range(name: str) -> None:
    """And its defaults and presets lie in them."""
    cls = registry.load(registry.algorithms()[name])
    for field, kind in field_types(cls.Config).items():
        words = describe(kind)
        assert ("number" in words) == bool(re.search(r"number (in|at least|above)", words)), (field, words)
    for domain in ("control", "language"):
        make_config(cls.Config, cls.preset(domain), {})


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "clip": st.floats(allow_nan=False),
    "depth": st.integers(),
    "name": st.text(),
    "fast": st.booleans(),
    "kind": st.sampled_from(["one", "two"]),
    "order": st.sampled_from([1, 2, None]),
    "share": st.floats(0, 1, exclude_min=True),
    "many": st.none() | st.integers(min_value=2),
    "bound": st.none() | st.floats(allow_nan=False),
    # The text "none" is None where None may be.
    "title": st.none() | st.text().filter(lambda t: t.lower() != "none"),
}


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_a_config_goes_through_json_without_loss(values: dict[str, Any]) -> None:
    config = make_config(Config, {}, values)
    plain = dataclasses.asdict(config)
    assert {k: plain[k] for k in values} == values
    assert make_config(Config, {}, json.loads(json.dumps(plain))) == config


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_a_value_as_text_is_the_value(values: dict[str, Any]) -> None:
    kinds = field_types(Config)
    for name, value in values.items():
        if isinstance(value, str):
            continue
        assert coerce(name, kinds[name], str(value)) == value
