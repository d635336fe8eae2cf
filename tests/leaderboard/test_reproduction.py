"""A reproduction is written by hand: what is wrong with one is said in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lagbench import LagbenchError
from lagbench.leaderboard import reproduction
from lagbench.leaderboard.agreement import Sample
from lagbench.leaderboard.reproduction import Cell, Reproduction

TEXT = """
{
  "format_version": 1,
  "submission": "00ff",
  "who": "A. Maintainer",
  "when": "2026-01-31",
  "cells": [
    {"task": "Hopper-v5", "lag": 16, "updates": 80, "seed": 2, "mean": 1006, "std": 1.5, "episodes": 10},
    {"task": "Hopper-v5", "lag": 0, "updates": 80, "seed": 0, "mean": 3.5, "std": null, "episodes": 1}
  ]
}
"""


def test_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "submissions" / "TESTING" / "mine"
    file = reproduction.file_of(path)
    assert file == tmp_path / "reproductions" / "TESTING" / "mine.json"
    file.parent.mkdir(parents=True)
    file.write_text(TEXT)
    found = reproduction.read(file)
    assert found == Reproduction(
        "00ff",
        "A. Maintainer",
        "2026-01-31",
        (
            Cell("Hopper-v5", 16, 80, 2, Sample(1006.0, 1.5, 10)),
            Cell("Hopper-v5", 0, 80, 0, Sample(3.5, None, 1)),
        ),
    )
    assert json.loads(json.dumps(found.to_json())) == json.loads(TEXT)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format_version=2), "has format 2; this lagbench reads 1"),
        (lambda d: d.pop("who"), "lacks 'who'"),
        (lambda d: d.update(who=" "), "'who' must say who ran the code"),
        (lambda d: d.update(when="yesterday"), "'when' must be a day such as 2026-01-31, not 'yesterday'"),
        (lambda d: d.update(state="reproduced"), "has 'state', which is none of its fields"),
        (lambda d: d.update(cells={}), "'cells' must be a list"),
        (lambda d: d["cells"][1].pop("mean"), "cell 1 lacks 'mean'"),
        (lambda d: d["cells"][0].update(mean="best"), "cell 0: 'mean' must be a number, not 'best'"),
        (lambda d: d["cells"][0].update(lag=-1), "cell 0: 'lag' must be a whole number, not -1"),
        (lambda d: d["cells"][0].update(episodes=0), "cell 0: 'episodes' must be a whole number, 1 or more, not 0"),
    ],
)
def test_what_is_refused(change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path) -> None:
    data = json.loads(TEXT)
    change(data)
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(data))
    with pytest.raises(LagbenchError, match=message) as refused:
        reproduction.read(file)
    assert str(refused.value).startswith(str(file))
