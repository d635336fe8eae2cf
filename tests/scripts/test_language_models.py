"""A handful of the kinds of models that the script tries, one a way that it can go, as docs/gsm8k.md has them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.language_models import Tried, kinds, lists, tried

PAGE = (Path(__file__).parents[2] / "docs/gsm8k.md").read_text(encoding="utf-8")
WAYS = (
    "Runs, head apart from the body",
    "Runs, head with the body",
    "Refused, depends on",
    "Refused, fails",
    "Not tried",
)


# Keys wider than values; more between body and head; later tokens; no cache; not made small.
@pytest.mark.parametrize(
    ("kind", "way"),
    [("deepseek_v3", 0), ("opt", 1), ("bert", 2), ("openai-gpt", 3), ("musicgen", 4)],
)
def test_a_kind(kind: str, way: int, capsys: pytest.CaptureFixture[str]) -> None:
    found = tried(kind)
    capsys.readouterr()
    assert f"- {WAYS[way]}" in next(line for line in lists({kind: found}).splitlines() if f"`{kind}`" in line)
    (listed,) = (
        text for text in re.findall(r"^- (?:Runs|Refused|Not tried).*\n(?:  .*\n)*", PAGE, re.M) if f"`{kind}`" in text
    )
    assert listed.startswith(f"- {WAYS[way]}")


def test_the_lists() -> None:
    found = {"a": Tried("runs", apart=True), "b": Tried("refused", "it fails (x)"), "c": Tried("untried", "why")}
    said = lists(found)
    for line in ("Runs, head apart from the body (1): `a`", "Refused, fails (1): `b`", "Not tried (1): `c`"):
        assert f"- {line}" in said
    assert {"llama", "gpt2"} < set(kinds())
